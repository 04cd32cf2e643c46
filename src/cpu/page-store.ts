/** The content of physical pages, in the linear memory: a page gets some when it is first written to. */
import { PAGE_BYTES } from "../common/address.ts";
import type { PageStore } from "../host/frames.ts";
import type { CodeCache } from "./execute/code-cache.ts";

/**
 * The guest has touched more memory than there is room for here. What it is given (--memory) may be more: pages get content
 * when they are first written to.
 */
export class HostMemoryFull extends Error {
  override readonly name = "HostMemoryFull";
  /** Bytes of the pages that have content. */
  readonly bytes: number;

  constructor(bytes: number) {
    super(`${bytes} bytes of guest memory have content`);
    this.bytes = bytes;
  }
}

export class LinearPages implements PageStore {
  readonly #bytes: Uint8Array;
  readonly #code: CodeCache;
  readonly #start: number;
  readonly #end: number;
  #next: number;
  readonly #free: number[] = [];

  /**
   * @param start,end what of the memory is for pages
   * @param code forgets a page that is freed
   */
  constructor(bytes: Uint8Array, start: number, end: number, code: CodeCache) {
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
    this.#next = start;
    this.#code = code;
  }

  /** A page of zeros for a frame's content. @throws HostMemoryFull */
  allocatePage(): Uint32Array {
    let at = this.#free.pop();
    if (at === undefined) {
      at = this.#next;
      if (at >= this.#end) throw new HostMemoryFull(this.#end - this.#start);
      this.#next += PAGE_BYTES;
    } else this.#bytes.fill(0, at, at + PAGE_BYTES);
    return new Uint32Array(this.#bytes.buffer, at, PAGE_BYTES / 4);
  }

  freePage(words: Uint32Array): void {
    this.#code.forget(words.byteOffset, PAGE_BYTES);
    this.#free.push(words.byteOffset);
  }

  /** Instructions that were decoded there may be others now. */
  wrote(words: Uint32Array): void {
    this.#code.forget(words.byteOffset, PAGE_BYTES);
  }
}
