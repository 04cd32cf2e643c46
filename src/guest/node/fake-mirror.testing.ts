/** A tiny Debian mirror for tests: packages made on the spot, on a server that can be told to misbehave. */
import { createServer, type Server, type ServerResponse } from "node:http";
import { gzipSync } from "node:zlib";
import { packTar } from "modern-tar";
import { sha256 } from "./download.ts";

const text = (of: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(of);

/** An ELF file of nothing but sections, as far as our reader looks. */
export function fakeElf(sections: Readonly<Record<string, Uint8Array>>): Uint8Array {
  const all = { "": new Uint8Array(), ...sections, ".shstrtab": new Uint8Array() };
  const names = text(`${Object.keys(all).join("\0")}\0`);
  all[".shstrtab"] = names;
  const list = Object.entries(all);
  const contentBytes = list.reduce((sum, [, content]) => sum + content.length, 0);
  const file = new Uint8Array(64 + contentBytes + 64 * list.length);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setBigUint64(0x28, BigInt(64 + contentBytes), true);
  view.setUint16(0x3c, list.length, true);
  view.setUint16(0x3e, list.length - 1, true);
  let at = 64;
  let name = 0;
  list.forEach(([label, content], i) => {
    const header = 64 + contentBytes + 64 * i;
    view.setUint32(header, name, true);
    view.setBigUint64(header + 0x18, BigInt(at), true);
    view.setBigUint64(header + 0x20, BigInt(content.length), true);
    file.set(content, at);
    at += content.length;
    name += label.length + 1;
  });
  return file;
}

/** A program or a library that needs these libraries. */
export function fakeProgram(needs: readonly string[]): Uint8Array {
  const strings = text(`\0${needs.map((need) => `${need}\0`).join("")}`);
  const dynamic = new Uint8Array(16 * (needs.length + 1));
  let at = 1;
  needs.forEach((need, i) => {
    new DataView(dynamic.buffer).setBigInt64(16 * i, 1n, true);
    new DataView(dynamic.buffer).setBigUint64(16 * i + 8, BigInt(at), true);
    at += need.length + 1;
  });
  return fakeElf({ ".dynamic": dynamic, ".dynstr": strings });
}

export const fakeModule = (info: readonly string[]): Uint8Array =>
  fakeElf({ ".modinfo": text(info.map((entry) => `${entry}\0`).join("")) });

/** arm64's Image, of no instructions. */
export function fakeImage(): Uint8Array {
  const image = new Uint8Array(4096);
  new DataView(image.buffer).setUint32(56, 0x644d5241, true);
  return image;
}

/** An ar archive as dpkg writes it. */
export function fakeAr(members: Readonly<Record<string, Uint8Array>>): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [text("!<arch>\n")];
  for (const [name, content] of Object.entries(members)) {
    const field = (value: string, width: number): string => value.padEnd(width);
    parts.push(
      text(
        `${field(name, 16)}${field("0", 12)}${field("0", 6)}${field("0", 6)}${field("100644", 8)}${field(`${content.length}`, 10)}\`\n`,
      ),
      content,
      text(content.length % 2 === 1 ? "\n" : ""),
    );
  }
  return new Uint8Array(Buffer.concat(parts));
}

/** Files by path; a string is a symbolic link's target. */
export type Content = Readonly<Record<string, Uint8Array | string>>;

export const fakeTar = (content: Content): Promise<Uint8Array> =>
  packTar(
    Object.entries(content).map(([name, of]) =>
      typeof of === "string"
        ? { header: { name: `./${name}`, size: 0, type: "symlink", linkname: of } }
        : { header: { name: `./${name}`, size: of.length, type: "file", mode: 0o755 }, body: of },
    ),
  );

export const fakeDeb = async (content: Content): Promise<Uint8Array<ArrayBuffer>> =>
  fakeAr({
    "debian-binary": text("2.0\n"),
    "control.tar.gz": gzipSync(await fakeTar({ control: text("Package: x\n") })),
    "data.tar.gz": gzipSync(await fakeTar(content)),
  });

const RELEASE = "6.1.0-1-cloud-arm64";
const KERNEL = `linux-image-${RELEASE}`;
const modules = `lib/modules/${RELEASE}`;

/** Name, Depends and files of every package. perf's libraries are where one has to look for them. */
const PACKAGES: readonly (readonly [string, string, Content])[] = [
  ["linux-image-cloud-arm64", `${KERNEL} (= 1.0)`, {}],
  [
    KERNEL,
    "kmod, linux-base (>= 4)",
    {
      [`boot/vmlinuz-${RELEASE}`]: fakeImage(),
      [`${modules}/modules.builtin`]: text("kernel/fs/ext4/ext4.ko\n"),
      [`${modules}/kernel/drivers/virtio/virtio_mmio.ko`]: fakeModule(["depends=virtio,virtio_ring"]),
      [`${modules}/kernel/drivers/virtio/virtio_ring.ko`]: fakeModule(["depends=virtio"]),
      [`${modules}/kernel/drivers/virtio/virtio.ko`]: fakeModule(["depends="]),
      [`${modules}/kernel/drivers/char/hw_random/virtio-rng.ko`]: fakeModule([
        "alias=virtio:d00000004v*",
        "depends=virtio",
      ]),
      [`${modules}/kernel/net/unwanted.ko`]: fakeModule([]),
    },
  ],
  ["busybox-static", "", { "bin/busybox": fakeProgram([]) }],
  ["coreutils", "libc6 (>= 2.34)", { "bin/mktemp": fakeProgram(["libc.so.6"]) }],
  ["dash", "libc6 (>= 2.34)", { "bin/dash": fakeProgram(["libc.so.6"]) }],
  ["grep", "libc6 (>= 2.34)", { "bin/grep": fakeProgram(["libc.so.6"]), "bin/egrep": text("#!/bin/sh\n") }],
  [
    "linux-perf",
    "libtools (>= 1) | libtools-other, libdw1, libc6 (>= 2.34), perl:any, no-such-package",
    {
      "usr/bin/perf": fakeProgram(["libdw.so.1", "libodd.so.2", "libc.so.6", "ld-linux-aarch64.so.1"]),
      "usr/share/doc/perf/README": text("not for guests"),
      "usr/lib/perf-core/tests/shell/test_arm_spe.sh": text("#!/bin/sh\n# SPE\n"),
      "usr/lib/perf-core/tests/shell/test_intel_pt.sh": text("#!/bin/sh\n# not for guests\n"),
    },
  ],
  [
    "libdw1",
    "libc6, libelf1",
    {
      "usr/lib/aarch64-linux-gnu/libdw.so.1": "libdw-0.1.so",
      "usr/lib/aarch64-linux-gnu/libdw-0.1.so": fakeProgram(["libelf.so.1", "libc.so.6"]),
    },
  ],
  ["libelf1", "libc6", { "usr/lib/aarch64-linux-gnu/libelf.so.1": fakeProgram(["libc.so.6"]) }],
  ["libtools", "libc6", { "lib/aarch64-linux-gnu/libodd.so.2": fakeProgram(["libc.so.6"]) }],
  [
    "libc6",
    "",
    {
      "lib/aarch64-linux-gnu/libc.so.6": fakeProgram(["ld-linux-aarch64.so.1"]),
      "lib/aarch64-linux-gnu/ld-linux-aarch64.so.1": fakeProgram([]),
      "lib/ld-linux-aarch64.so.1": "aarch64-linux-gnu/ld-linux-aarch64.so.1",
    },
  ],
  ["perl", "", { "usr/bin/perl": fakeProgram([]) }],
];

/** What the server does instead of answering; undefined: it answers. */
export type Misdeed = (path: string, response: ServerResponse, content: Uint8Array | undefined) => boolean;

export interface FakeMirror {
  readonly address: string;
  /** Content by path. */
  readonly files: Map<string, Uint8Array>;
  /** Paths that were asked for, with the range if there was one. */
  readonly asked: string[];
  misdeed: Misdeed | undefined;
  close(): Promise<void>;
}

/** The release file's text for what is in `files`. */
export const releaseText = (suite: string, index: Uint8Array): string =>
  `Origin: Debian\nCodename: ${suite}\nVersion: 12.0\nSHA256:\n ${sha256(index)} ${index.length} main/binary-arm64/Packages.gz\n`;

/** Starts a mirror of one suite. */
export async function fakeMirror(suite: string): Promise<FakeMirror> {
  const files = new Map<string, Uint8Array>();
  const paragraphs: string[] = [];
  for (const [name, depends, content] of PACKAGES) {
    const deb = await fakeDeb(content);
    const filename = `pool/main/${name}_1.0_arm64.deb`;
    files.set(`/${filename}`, deb);
    paragraphs.push(
      `Package: ${name}\nVersion: 1.0\nDepends: ${depends}\nFilename: ${filename}\nSize: ${deb.length}\nSHA256: ${sha256(deb)}\n`,
    );
  }
  const index = gzipSync(paragraphs.join("\n"));
  files.set(`/dists/${suite}/main/binary-arm64/Packages.gz`, index);
  files.set(`/dists/${suite}/InRelease`, text(releaseText(suite, index)));

  const asked: string[] = [];
  const mirror: FakeMirror = {
    address: "",
    files,
    asked,
    misdeed: undefined,
    close: () => close(server),
  };
  const server = createServer((request, response) => {
    const path = request.url ?? "";
    const range = request.headers.range;
    asked.push(range === undefined ? path : `${path} ${range}`);
    const content = files.get(path);
    if (mirror.misdeed?.(path, response, content) === true) return;
    if (content === undefined) {
      response.writeHead(404).end();
      return;
    }
    const from = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
    const part = content.subarray(from);
    response.writeHead(from > 0 ? 206 : 200, {
      "content-length": part.length,
      ...(from > 0 ? { "content-range": `bytes ${from}-${content.length - 1}/${content.length}` } : {}),
    });
    response.end(part);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const bound = server.address();
  if (bound === null || typeof bound === "string") throw new Error("the server has no port");
  return Object.assign(mirror, { address: `http://127.0.0.1:${bound.port}` });
}

function close(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}
