import { parentPort, workerData } from "node:worker_threads";
import { measured } from "./measured.ts";

parentPort?.postMessage(measured((workerData as { readonly seed: number }).seed));
