// Where the command line's worker thread starts.
import { workerData } from "node:worker_threads";
import { load } from "./load.js";

// A policy's file imports modules of the source: they must be those that the worker has, whose classes it shares.
const { work } = await load("worker", { bundled: !workerData.importsSource });
await work();
