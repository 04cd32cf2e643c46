import { describe, expect, it } from "vitest";
import { SPEEDSCOPE } from "./speedscope.testing.ts";
import { speedscopeFile } from "./speedscope.ts";

describe("a file for speedscope", () => {
  const file = speedscopeFile(
    "a run",
    {
      one: [
        { frames: ["kernel", "memset"], ns: 2 },
        { frames: ["programs", "a"], ns: 4 },
        { frames: ["kernel", "memset"], ns: 3 },
      ],
      other: [{ frames: ["memset", "kernel"], ns: 9 }],
    },
    "test",
  );

  it("is as its schema has it", () => {
    expect(SPEEDSCOPE.parse(JSON.parse(JSON.stringify(file)))).toEqual(file);
  });

  it("has each stack once, the heaviest first, and each frame once", () => {
    expect(file.shared.frames.map(({ name }) => name)).toEqual(["kernel", "memset", "programs", "a"]);
    expect(file.profiles[0]).toMatchObject({
      samples: [
        [0, 1],
        [2, 3],
      ],
      weights: [5, 4],
      endValue: 9,
    });
    expect(file.profiles[1]).toMatchObject({ samples: [[1, 0]], weights: [9], startValue: 0, endValue: 9 });
  });
});
