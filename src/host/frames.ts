/** The host's physical memory: frame numbers, and the content of those few frames somebody has written to. */
import { PAGE_BYTES } from "../common/address.ts";

/** Pages in a 2 MiB block with 4 KiB base pages: PMD_SIZE / PAGE_SIZE. */
export const HUGE_PAGES = 512;

const WORDS = PAGE_BYTES / 4;

/** What an unwritten frame reads as. Never written to. */
const ZERO_PAGE = new Uint32Array(WORDS);

/** Where the content of frames lies. Each page is 1024 zeroed words. */
export interface PageStore {
  allocatePage(): Uint32Array;
  /** The page is not used any more. */
  freePage(words: Uint32Array): void;
  /** Somebody has written to the page, and not the guest's instructions. */
  wrote?(words: Uint32Array): void;
}

const HEAP: PageStore = { allocatePage: () => new Uint32Array(WORDS), freePage: () => undefined };

export type FramesState = readonly [nextBlock: number, nextBase: number, baseLeft: number];

/** Hands out frames, ascending as a buddy allocator with free memory does, and keeps content. */
export class Frames {
  readonly #store: PageStore;
  #nextBlock = 1;
  #nextBase = 0;
  #baseLeft = 0;
  readonly #content = new Map<number, Uint32Array>();
  /** Goes up whenever content changes: what was read from guest tables before may no longer hold. */
  contentGeneration = 0;

  constructor(store: PageStore = HEAP) {
    this.#store = store;
  }

  /** Which frames are handed out; their content is saved by whoever knows where it lies. */
  save(): FramesState {
    return [this.#nextBlock, this.#nextBase, this.#baseLeft];
  }

  /** Every content is forgotten. */
  restore([nextBlock, nextBase, baseLeft]: FramesState): void {
    for (const frame of [...this.#content.keys()]) this.drop(frame);
    this.#nextBlock = nextBlock;
    this.#nextBase = nextBase;
    this.#baseLeft = baseLeft;
  }

  /** One base frame. */
  allocate(): number {
    if (this.#baseLeft === 0) {
      this.#nextBase = this.#nextBlock * HUGE_PAGES;
      this.#nextBlock += 1;
      this.#baseLeft = HUGE_PAGES;
    }
    const frame = this.#nextBase + HUGE_PAGES - this.#baseLeft;
    this.#baseLeft -= 1;
    return frame;
  }

  /** 512 frames, aligned; the first is returned. */
  allocateHuge(): number {
    const first = this.#nextBlock * HUGE_PAGES;
    this.#nextBlock += 1;
    return first;
  }

  /** One past the highest frame handed out. */
  get end(): number {
    return this.#nextBlock * HUGE_PAGES;
  }

  /** A frame's 1024 little-endian words, for reading; a live view if the frame was ever written. */
  read(frame: number): Uint32Array {
    return this.#content.get(frame) ?? ZERO_PAGE;
  }

  /** A frame's words for writing. Call `wrote` afterwards. */
  writable(frame: number): Uint32Array {
    let words = this.#content.get(frame);
    if (words === undefined) {
      words = this.#store.allocatePage();
      this.#content.set(frame, words);
    }
    return words;
  }

  /** @param frame whose content has changed, by whoever is no instruction of the guest's; undefined: nobody knows */
  wrote(frame?: number): void {
    this.contentGeneration += 1;
    const words = frame === undefined ? undefined : this.#content.get(frame);
    if (words !== undefined) this.#store.wrote?.(words);
  }

  /** Every frame with content. */
  get contents(): Iterable<readonly [frame: number, words: Uint32Array]> {
    return this.#content;
  }

  hasContent(frame: number): boolean {
    return this.#content.has(frame);
  }

  /** Moves content, as migration does. Where it is found by host page, nothing changes. */
  move(from: number, to: number): void {
    const words = this.#content.get(from);
    if (words === undefined) return;
    this.#content.delete(from);
    this.#content.set(to, words);
  }

  copy(from: number, to: number): void {
    const words = this.#content.get(from);
    if (words !== undefined) this.writable(to).set(words);
  }

  /** Forgets a frame's content (it was freed). */
  drop(frame: number): void {
    const words = this.#content.get(frame);
    if (words === undefined) return;
    this.#content.delete(frame);
    this.#store.freePage(words);
    this.contentGeneration += 1;
  }
}
