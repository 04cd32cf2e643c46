import { z } from "zod";

/** https://www.speedscope.app/file-format-schema.json, as far as sampled profiles go. */
const index = z.int().nonnegative();
export const SPEEDSCOPE = z.strictObject({
  $schema: z.literal("https://www.speedscope.app/file-format-schema.json"),
  name: z.string().optional(),
  exporter: z.string().optional(),
  activeProfileIndex: index.optional(),
  shared: z.strictObject({
    frames: z.array(
      z.strictObject({
        name: z.string(),
        file: z.string().optional(),
        line: z.number().optional(),
        col: z.number().optional(),
      }),
    ),
  }),
  profiles: z.array(
    z.strictObject({
      type: z.literal("sampled"),
      name: z.string(),
      unit: z.enum(["none", "nanoseconds", "microseconds", "milliseconds", "seconds", "bytes"]),
      startValue: z.number(),
      endValue: z.number(),
      samples: z.array(z.array(index)),
      weights: z.array(z.number()),
    }),
  ),
});
