// `npm start`: the thread's figures, a prediction on the recording that is shipped, and a page with both.
import { ensureInstalled } from "../scripts/ensure.js";

ensureInstalled();
const { registerTypeScript } = await import("../scripts/register-typescript.js");
registerTypeScript();
const { runFromShell } = await import("../src/cli/main.ts");
await runFromShell(["start", ...process.argv.slice(2)]);
