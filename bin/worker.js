// Where the command line's worker thread starts: it needs TypeScript registered for itself.
import { register } from "tsx/esm/api";

register();
const { work } = await import("../src/cli/worker.ts");
await work();
