import fc from "fast-check";
import { expect, it } from "vitest";
import { bytesSource, streamSource } from "./byte-source.ts";

async function* stream(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

it("a stream read forwards gives the bytes of the same stretch of memory", async () => {
  const chunk = fc.uint8Array({ maxLength: 20 });
  const stretch = fc.record({ skip: fc.nat(15), length: fc.nat(15) });
  await fc.assert(
    fc.asyncProperty(
      fc.array(chunk, { maxLength: 8 }),
      fc.array(stretch, { maxLength: 10 }),
      async (chunks, stretches) => {
        const whole = bytesSource("memory", Uint8Array.from(chunks.flatMap((bytes) => [...bytes])));
        const pipe = streamSource("pipe", stream(chunks));
        let at = 0;
        for (const { skip, length } of stretches) {
          at += skip;
          expect([...(await pipe.read(at, length))]).toEqual([...(await whole.read(at, length))]);
          at += length;
        }
      },
    ),
  );
});

it("a stream does not go back", async () => {
  const pipe = streamSource("pipe", stream([Uint8Array.of(1, 2, 3)]));
  await pipe.read(0, 2);
  await expect(pipe.read(1, 1)).rejects.toThrow(/pipe: it cannot go back to offset 1/);
});
