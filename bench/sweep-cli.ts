/** The command line with the busy question. */
import { runFromShell } from "../src/cli/main.ts";

await runFromShell(process.argv.slice(2), new URL("./sweep-questions.ts", import.meta.url));
