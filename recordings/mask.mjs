// Replaces the names of programs in COMM records, in place and without changing a length: for what ran beside a
// recorded command and is nobody's business. Compressed records are left as they are.
//
//   node recordings/mask.mjs 'REGULAR EXPRESSION' FILE...
import { readFileSync, writeFileSync } from "node:fs";

const [pattern, ...files] = process.argv.slice(2);
const masked = new RegExp(`^(${pattern})$`);

for (const file of files) {
  const bytes = readFileSync(file);
  const isPipe = bytes.readBigUInt64LE(8) === 16n;
  let at = isPipe ? 16 : Number(bytes.readBigUInt64LE(40));
  const end = isPipe ? bytes.length : at + Number(bytes.readBigUInt64LE(48));
  let count = 0;
  while (at < end) {
    const size = bytes.readUInt16LE(at + 6);
    if (bytes.readUInt32LE(at) === 3) {
      const from = at + 16;
      const to = bytes.indexOf(0, from);
      if (masked.test(bytes.toString("latin1", from, to))) {
        bytes.write("other".slice(0, to - from).padEnd(to - from, "\0"), from, "latin1");
        count++;
      }
    }
    at += size;
  }
  writeFileSync(file, bytes);
  console.log(`${file}: ${count} names masked`);
}
