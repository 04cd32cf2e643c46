/** The command line with the sample questions. */
import { runFromShell } from "../../src/cli/main.ts";

await runFromShell(process.argv.slice(2), new URL("./sample-questions.ts", import.meta.url));
