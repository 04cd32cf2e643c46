/** For tests: random sessions of a client that has files open while it renames and removes them, beside a model of POSIX. */
import fc from "fast-check";
import { expect } from "vitest";
import { FLAGS, P9Client, P9Error } from "./client.testing.ts";

/** A file or directory of the model. */
interface Node {
  readonly children: Map<string, Node> | undefined;
  mode: number;
  text: string;
}

/** A file that the client has open, with the fid that Linux keeps for its name. */
interface Held {
  readonly node: Node;
  readonly named: number;
  readonly open: number;
}

type Act =
  | { readonly act: "create" | "mkdir" | "open" | "unlink" | "rmdir"; readonly at: string }
  | { readonly act: "rename" | "link"; readonly at: string; readonly to: string }
  | {
      readonly act: "chmod" | "truncate";
      readonly held: number;
      readonly byName: boolean;
      readonly value: number;
    }
  | { readonly act: "write" | "reopen" | "close"; readonly held: number; readonly value: number };

const place = fc.constantFrom("a", "b", "d", "e", "d/a", "d/b", "e/a", "d/e", "d/e/a");
const held = fc.nat(5);
const value = fc.nat(20);
const acts: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ act: fc.constantFrom("create", "mkdir", "open", "unlink", "rmdir"), at: place }),
  },
  { weight: 3, arbitrary: fc.record({ act: fc.constantFrom("rename", "link"), at: place, to: place }) },
  {
    weight: 3,
    arbitrary: fc.record({ act: fc.constantFrom("chmod", "truncate"), held, byName: fc.boolean(), value }),
  },
  { weight: 2, arbitrary: fc.record({ act: fc.constantFrom("write", "reopen", "close"), held, value }) },
);

const encode = (text: string): Uint8Array => Uint8Array.from(text, (byte) => byte.charCodeAt(0));
const decode = (bytes: Uint8Array): string => String.fromCharCode(...bytes);
const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf("/")));
const nameOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1);

class Session {
  readonly #client: P9Client;
  readonly #root: number;
  readonly #tree: Node = { children: new Map(), mode: 0o755, text: "" };
  readonly #held: Held[] = [];

  constructor(send: (message: Uint8Array) => Uint8Array) {
    this.#client = new P9Client(send);
    this.#client.version(65_536);
    this.#root = this.#client.attach();
  }

  #find(path: string): Node | undefined {
    let at: Node | undefined = this.#tree;
    for (const name of path.split("/")) if (name !== "") at = at?.children?.get(name);
    return at;
  }

  /** The request succeeds where the model says so, and fails otherwise. */
  #expect(possible: boolean, what: string, request: () => void): boolean {
    try {
      request();
    } catch (error) {
      if (!(error instanceof P9Error) || possible) throw new Error(`${what}: ${String(error)}`);
      return false;
    }
    expect(possible, `${what} was possible`).toBe(true);
    return true;
  }

  #walk(path: string): number {
    return this.#client.walk(this.#root, path);
  }

  #hold(node: Node, path: string, open: number): void {
    this.#held.push({ node, open, named: this.#walk(path) });
  }

  do(step: Act): void {
    const client = this.#client;
    if ("held" in step) {
      const file = this.#held[step.held % this.#held.length];
      if (file !== undefined) this.#change(step, file);
      return;
    }
    const { act, at } = step;
    const [node, parent] = [this.#find(at), this.#find(parentOf(at))];
    const [name, siblings] = [nameOf(at), parent?.children];
    const what = JSON.stringify(step);
    switch (act) {
      case "create": {
        let fid = 0;
        const made = this.#expect(siblings !== undefined && node === undefined, what, () => {
          fid = this.#walk(parentOf(at));
          client.create(fid, name, FLAGS.RDWR | FLAGS.EXCL, 0o644);
        });
        if (!made) return;
        const file: Node = { children: undefined, mode: 0o644, text: "" };
        siblings?.set(name, file);
        this.#hold(file, at, fid);
        return;
      }
      case "mkdir":
        if (
          this.#expect(siblings !== undefined && node === undefined, what, () => {
            client.makeDirectory(this.#walk(parentOf(at)), name);
          })
        )
          siblings?.set(name, { children: new Map(), mode: 0o755, text: "" });
        return;
      case "open": {
        let fid = 0;
        const opened = this.#expect(node !== undefined && node.children === undefined, what, () => {
          fid = this.#walk(at);
          client.open(fid, FLAGS.RDWR);
        });
        if (opened && node !== undefined) this.#hold(node, at, fid);
        return;
      }
      case "unlink":
      case "rmdir": {
        const directory = act === "rmdir";
        const possible = directory
          ? node?.children?.size === 0
          : node !== undefined && node.children === undefined;
        const gone = this.#expect(possible, what, () =>
          client.unlinkAt(this.#walk(parentOf(at)), name, directory ? 0x200 : 0),
        );
        if (gone) siblings?.delete(name);
        return;
      }
      case "rename":
      case "link":
        this.#move(act, at, step.to, what);
    }
  }

  #move(act: "rename" | "link", at: string, to: string, what: string): void {
    const client = this.#client;
    const [node, old] = [this.#find(at), this.#find(to)];
    const [from, into] = [this.#find(parentOf(at))?.children, this.#find(parentOf(to))?.children];
    const exists = node !== undefined && into !== undefined;
    if (act === "link") {
      const linked = this.#expect(exists && node.children === undefined && old === undefined, what, () =>
        client.link(this.#walk(parentOf(to)), this.#walk(at), nameOf(to)),
      );
      if (linked && node !== undefined) into?.set(nameOf(to), node);
      return;
    }
    const replaceable =
      old === undefined ||
      old === node ||
      (node?.children === undefined ? old.children === undefined : old.children?.size === 0);
    const inItself = node?.children !== undefined && `${to}/`.startsWith(`${at}/`) && to !== at;
    const moved = this.#expect(exists && replaceable && !inItself, what, () =>
      client.renameAt(this.#walk(parentOf(at)), nameOf(at), this.#walk(parentOf(to)), nameOf(to)),
    );
    if (!moved || node === undefined || old === node) return;
    from?.delete(nameOf(at));
    into?.set(nameOf(to), node);
  }

  #change(step: Extract<Act, { held: number }>, file: Held): void {
    const client = this.#client;
    const { node, named, open } = file;
    const { value } = step;
    switch (step.act) {
      case "chmod":
        // The owner can still open it: whoever runs the tests need not be root.
        node.mode = 0o600 + value;
        client.setAttributes(step.byName ? named : open, 1, { mode: node.mode });
        return;
      case "truncate":
        node.text = node.text.slice(0, value).padEnd(value, "\0");
        client.setAttributes(step.byName ? named : open, 8, { size: BigInt(value) });
        return;
      case "write":
        node.text = `${"x".repeat(value)}${node.text.slice(value)}`;
        client.write(open, 0, encode("x".repeat(value)));
        return;
      case "reopen": {
        const again = client.walk(named, "");
        client.open(again, FLAGS.RDWR);
        this.#held.push({ node, open: again, named: client.walk(named, "") });
        return;
      }
      case "close":
        this.#held.splice(this.#held.indexOf(file), 1);
        client.clunk(open);
        client.clunk(named);
        return;
    }
  }

  /** Every file that is held, and every file that has a name, is as the model has it. */
  check(): void {
    const client = this.#client;
    for (const { node, named, open } of this.#held) {
      for (const fid of [named, open]) {
        const { mode, size } = client.attributes(fid);
        expect([mode & 0o777, size]).toEqual([node.mode, BigInt(node.text.length)]);
      }
      expect(decode(client.read(open, 0, 100))).toBe(node.text);
    }
    this.#compare(this.#tree, "");
  }

  #compare(node: Node, path: string): void {
    const client = this.#client;
    const fid = this.#walk(path);
    if (path !== "") expect(client.attributes(fid).mode & 0o777, path).toBe(node.mode);
    client.open(fid, FLAGS.RDONLY);
    if (node.children === undefined) expect(decode(client.read(fid, 0, 100)), path).toBe(node.text);
    else {
      const names = client.readDirectory(fid).map(({ name }) => name);
      expect(names.sort(), path).toEqual([".", "..", ...node.children.keys()].sort());
      for (const [name, child] of node.children) this.#compare(child, path === "" ? name : `${path}/${name}`);
    }
    client.clunk(fid);
  }
}

/**
 * Runs random sessions.
 * @param connect a fresh, empty share: how to send a message to it
 */
export function agreesWithPosix(connect: () => (message: Uint8Array) => Uint8Array, numRuns: number): void {
  fc.assert(
    fc.property(fc.array(acts, { maxLength: 60, size: "max" }), (steps) => {
      const session = new Session(connect());
      for (const step of steps) {
        session.do(step);
        session.check();
      }
    }),
    { numRuns },
  );
}
