/** Runs of consecutive page numbers, in whatever space their owner says. */

export interface Extent {
  readonly first: number;
  readonly pages: number;
}

export const endOf = (extent: Extent): number => extent.first + extent.pages;

export const totalPages = (extents: readonly Extent[]): number =>
  extents.reduce((sum, extent) => sum + extent.pages, 0);

/** Sorted, disjoint and with neighbours joined: the normal form in which two sets can be compared. */
export function normalise(extents: readonly Extent[]): Extent[] {
  const sorted = extents.filter((e) => e.pages > 0).sort((a, b) => a.first - b.first);
  const out: Extent[] = [];
  for (const extent of sorted) {
    const last = out.at(-1);
    if (last !== undefined && endOf(last) >= extent.first) {
      const end = Math.max(endOf(last), endOf(extent));
      out[out.length - 1] = { first: last.first, pages: end - last.first };
    } else out.push(extent);
  }
  return out;
}

/** The pages of `a` that are not in `b`. Both in normal form. */
export function subtract(a: readonly Extent[], b: readonly Extent[]): Extent[] {
  const out: Extent[] = [];
  let j = 0;
  for (const extent of a) {
    let first = extent.first;
    const end = endOf(extent);
    while (j > 0 && b[j - 1] !== undefined && endOf(b[j - 1] as Extent) > first) j--;
    while (j < b.length && endOf(b[j] as Extent) <= first) j++;
    while (first < end) {
      const cut = b[j];
      if (cut === undefined || cut.first >= end) {
        out.push({ first, pages: end - first });
        break;
      }
      if (cut.first > first) out.push({ first, pages: cut.first - first });
      first = Math.max(first, endOf(cut));
      if (endOf(cut) <= end) j++;
    }
  }
  return out;
}

/** The pages of `a` that are also in `b`. Both in normal form. */
export const intersect = (a: readonly Extent[], b: readonly Extent[]): Extent[] =>
  subtract(a, subtract(a, b));

/** Whether every page of `inner` is in `outer`. Both in normal form. */
export const contains = (outer: readonly Extent[], inner: readonly Extent[]): boolean =>
  subtract(inner, outer).length === 0;
