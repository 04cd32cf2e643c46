// Where the command line's worker thread starts: it needs TypeScript registered for itself.
import { registerTypeScript } from "../scripts/register-typescript.js";

registerTypeScript();
const { work } = await import("../src/cli/worker.ts");
await work();
