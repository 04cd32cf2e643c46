// Where the command line's worker thread starts.
import { load } from "./load.js";

const { work } = await load("worker");
await work();
