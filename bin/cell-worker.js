// Where the threads start that run cells of questions: each needs TypeScript registered for itself.
import { registerTypeScript } from "../scripts/register-typescript.js";

registerTypeScript();
const { runCell } = await import("../src/cli/ask/cell.ts");
export default runCell;
