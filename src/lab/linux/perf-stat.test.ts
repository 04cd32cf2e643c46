import { describe, expect, it } from "vitest";
import { parsePerfStat } from "./perf-stat.ts";

/** As perf 6.1 prints it. */
const PRINTED = `
 Performance counter stats for 'true':

              0.19 msec task-clock                       #    0.275 CPUs utilized          
                 3      context-switches                 #    0.000 /sec                   
            363796      cycles                           #    1.875 GHz                    
            363012      instructions                     #    1.00  insn per cycle         

       0.000706640 seconds time elapsed
`;

describe("what perf stat has printed", () => {
  it("has its cycles, its clock and its switches", () => {
    expect(parsePerfStat(`[ perf record: ...\n${PRINTED}`)).toEqual({
      cycles: 363_796,
      clockGHz: 1.875,
      contextSwitches: 3,
    });
  });

  it("is read as the thread's message has it, commas and a share of time counted among it", () => {
    const line =
      "        12,683,357      cycles                           #    0.004 GHz                         (83.31%)\n";
    expect(parsePerfStat(`Performance counter stats for 'true':\n${line}`)).toEqual({
      cycles: 12_683_357,
      clockGHz: 0.004,
      contextSwitches: null,
    });
  });

  it("is not there where nobody counted, and counts that are not supported are none", () => {
    expect(parsePerfStat("            363796      cycles   #    1.875 GHz\n")).toBeUndefined();
    expect(
      parsePerfStat(" Performance counter stats for 'true':\n\n   <not supported>      cycles\n"),
    ).toEqual({ cycles: null, clockGHz: null, contextSwitches: null });
  });
});
