// A small server's day: eight requests at a time, each hashed by libuv's thread pool and answered after a short wait.
import { pbkdf2 } from "node:crypto";
import { setTimeout as wait } from "node:timers/promises";
import { promisify } from "node:util";

const hash = promisify(pbkdf2);
let answered = 0;

async function client(requests) {
  for (let i = 0; i < requests; i++) {
    await hash(`request ${i}`, "salt", 500, 32, "sha256");
    await wait(i % 4 === 0 ? 1 : 0);
    answered++;
  }
}

await Promise.all(Array.from({ length: 8 }, () => client(16)));
console.log(`${answered} requests answered`);
