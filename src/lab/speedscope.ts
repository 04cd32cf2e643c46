/**
 * Profiles as https://www.speedscope.app reads them: frames, and stacks of them with weights. The format:
 * https://www.speedscope.app/file-format-schema.json.
 */

const SCHEMA = "https://www.speedscope.app/file-format-schema.json";

/** A stack, outermost frame first, and what it weighs. */
export interface WeightedStack {
  readonly frames: readonly string[];
  readonly ns: number;
}

export interface SampledProfile {
  readonly type: "sampled";
  readonly name: string;
  readonly unit: "nanoseconds";
  readonly startValue: number;
  readonly endValue: number;
  /** Indices of frames, outermost first. */
  readonly samples: readonly (readonly number[])[];
  readonly weights: readonly number[];
}

export interface SpeedscopeFile {
  readonly $schema: typeof SCHEMA;
  readonly name: string;
  readonly exporter: string;
  readonly activeProfileIndex: number;
  readonly shared: { readonly frames: readonly { readonly name: string }[] };
  readonly profiles: readonly SampledProfile[];
}

/**
 * @param profiles stacks by the names of views of them; equal stacks become one, the heaviest first
 * @param exporter the program's name and version
 */
export function speedscopeFile(
  name: string,
  profiles: Readonly<Record<string, readonly WeightedStack[]>>,
  exporter: string,
): SpeedscopeFile {
  const frames: { name: string }[] = [];
  const places = new Map<string, number>();
  const placeOf = (frame: string): number => {
    let place = places.get(frame);
    if (place === undefined) {
      place = frames.length;
      places.set(frame, place);
      frames.push({ name: frame });
    }
    return place;
  };
  const sampled = ([view, stacks]: [string, readonly WeightedStack[]]): SampledProfile => {
    const merged = new Map<string, { samples: number[]; ns: number }>();
    for (const { frames: stack, ns } of stacks) {
      const samples = stack.map(placeOf);
      const key = samples.join(" ");
      const known = merged.get(key);
      if (known === undefined) merged.set(key, { samples, ns });
      else known.ns += ns;
    }
    const sorted = [...merged.values()].sort((a, b) => b.ns - a.ns);
    return {
      type: "sampled",
      name: view,
      unit: "nanoseconds",
      startValue: 0,
      endValue: sorted.reduce((sum, { ns }) => sum + ns, 0),
      samples: sorted.map(({ samples }) => samples),
      weights: sorted.map(({ ns }) => ns),
    };
  };
  const views = Object.entries(profiles).map(sampled);
  return { $schema: SCHEMA, name, exporter, activeProfileIndex: 0, shared: { frames }, profiles: views };
}
