import { measured } from "./measured.ts";

Object.assign(globalThis, { measured });
