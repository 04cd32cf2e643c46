/**
 * Building tables: KVM's stage 2 and the guest model's stage 1 alike. All ranges are in 4 KiB pages and must be
 * whole granules of the configuration.
 *
 * Only tables change here. Break-before-make and TLB invalidation are the caller's: it knows who may be walking.
 */
import type { LeafBits } from "../arm/descriptors.ts";
import { BrokenInvariant } from "../common/errors.ts";
import type { StageConfig } from "./config.ts";
import {
  type LeafChange,
  type MapOptions,
  type TableChange,
  TableEdit,
  type TableWriter,
} from "./table-edit.ts";

export type { LeafChange, MapOptions, TableChange, TableWriter } from "./table-edit.ts";

/**
 * Maps a range to consecutive output pages. What was mapped there is replaced; a block that is only partly in the
 * range is split first; a table that a block replaces is freed with everything below it.
 */
export function mapRange<In extends number, Out extends number>(
  config: StageConfig<In, Out>,
  writer: TableWriter<Out>,
  first: In,
  output: Out,
  pages: number,
  attributes: LeafBits,
  options: MapOptions = {},
): TableChange<Out> {
  checkOutput(config, output, pages);
  const edit = new TableEdit(config, writer);
  const from = edit.relative(first, pages);
  edit.map(from, from + pages, output - from, attributes, options);
  return edit.result();
}

/**
 * Maps consecutive granules to scattered output granules, as a host hands them out: `outputs[i]` is the first 4 KiB
 * page of the output granule of `first + i * config.granulePages`. Pages only; otherwise as mapRange.
 */
export function mapPages<In extends number, Out extends number>(
  config: StageConfig<In, Out>,
  writer: TableWriter<Out>,
  first: In,
  outputs: ArrayLike<Out>,
  attributes: LeafBits,
): TableChange<Out> {
  for (let i = 0; i < outputs.length; i++) checkOutput(config, outputs[i] as Out, config.granulePages);
  const edit = new TableEdit(config, writer);
  const from = edit.relative(first, outputs.length * config.granulePages);
  edit.mapPages(from, outputs, attributes);
  return edit.result();
}

function checkOutput(config: StageConfig, output: number, pages: number): void {
  if (output % config.granulePages !== 0)
    throw new BrokenInvariant(`output page ${output} is not aligned to the granule`);
  if (output + pages > config.outputPages)
    throw new BrokenInvariant(`output page ${output + pages} is beyond the output size`);
}

/**
 * Removes what is mapped in a range; blocks that are only partly in it are split. Tables left without a valid
 * descriptor are taken out and reported, the first table excepted.
 */
export function unmapRange<In extends number, Out extends number>(
  config: StageConfig<In, Out>,
  writer: TableWriter<Out>,
  first: In,
  pages: number,
): TableChange<Out> {
  const edit = new TableEdit(config, writer);
  const from = edit.relative(first, pages);
  edit.unmap(from, from + pages);
  return edit.result();
}

/**
 * Changes the attributes of whatever is mapped in a range (write protection, access flag, dirty state); blocks
 * that are only partly in it are split.
 */
export function changeRange<In extends number, Out extends number>(
  config: StageConfig<In, Out>,
  writer: TableWriter<Out>,
  first: In,
  pages: number,
  change: LeafChange,
): TableChange<Out> {
  const edit = new TableEdit(config, writer);
  const from = edit.relative(first, pages);
  edit.change(from, from + pages, change);
  return edit.result();
}
