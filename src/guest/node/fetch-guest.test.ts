import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { UserError } from "../../common/errors.ts";
import { type FakeMirror, fakeMirror, releaseText } from "./fake-mirror.testing.ts";
import { type FetchOptions, fetchGuest } from "./fetch-guest.ts";
import { guestFiles, listGuests, removeGuest } from "./guests.ts";
import { writeDurably } from "./store.ts";

const scratch = mkdtempSync(join(tmpdir(), "spevisor-guest-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

let mirror: FakeMirror;
let cacheDir = "";
let count = 0;
const NO_KEYRING = join(scratch, "no-such-keyring");
const INDEX = "/dists/bookworm/main/binary-arm64/Packages.gz";
const PERF = "/pool/main/linux-perf_1.0_arm64.deb";

beforeEach(async () => {
  mirror = await fakeMirror("bookworm");
  cacheDir = join(scratch, `${count++}`);
});
afterEach(() => mirror.close());

const fetched = (more: Partial<FetchOptions> = {}) =>
  fetchGuest({
    suite: "bookworm",
    mirror: mirror.address,
    cacheDir,
    keyring: NO_KEYRING,
    patience: { silenceMs: 200, tries: 3, pauseMs: 1 },
    ...more,
  });

/** Everything in the cache, hidden files among it. */
const inCache = (): readonly string[] => {
  mkdirSync(cacheDir, { recursive: true });
  return readdirSync(cacheDir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(cacheDir.length + 1))
    .sort();
};

const WHOLE = ["guests/bookworm/Image", "guests/bookworm/guest.json", "guests/bookworm/initrd.cpio"];

/** What a fetch is refused with; the cache has no guest then, and no half file. */
async function refused(more: Partial<FetchOptions> = {}): Promise<string> {
  const error = await fetched(more).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(UserError);
  expect(inCache().filter((name) => !/^packages\/[^.][^/]*\.deb$/.test(name))).toEqual([]);
  expect(await guestFiles("bookworm", cacheDir)).toBeUndefined();
  return (error as UserError).message;
}

describe("a fetched guest", () => {
  it("is a kernel, a RAM disk and what they were made of, and nothing else stays", async () => {
    const warnings: string[] = [];
    const { guest, isNew } = await fetched({ onWarning: (text) => warnings.push(text) });
    expect(isNew).toBe(true);
    expect(inCache()).toEqual(WHOLE);
    expect(guest).toEqual(await guestFiles("bookworm", cacheDir));
    expect(guest.manifest).toMatchObject({
      release: "6.1.0-1-cloud-arm64",
      debian: "12.0",
      signature: "not checked",
      modules: {
        loadable: ["virtio", "virtio_mmio", "virtio_ring", "virtio_rng"],
        builtIn: ["ext4"],
        absent: expect.arrayContaining(["9p", "dummy"]),
      },
    });
    expect(warnings).toEqual([expect.stringContaining("debian-archive-keyring")]);
  });

  it("has the libraries that perf needs, and no package that perf only names", async () => {
    const { guest } = await fetched();
    expect(guest.manifest.packages.map(({ name }) => name)).toEqual([
      "busybox-static",
      "coreutils",
      "dash",
      "grep",
      "libc6",
      "libdw1",
      "libelf1",
      "libtools",
      "linux-image-6.1.0-1-cloud-arm64",
      "linux-image-cloud-arm64",
      "linux-perf",
    ]);
    const initrd = readFileSync(guest.initrd, "latin1");
    for (const path of [
      "usr/bin/perf",
      "usr/bin/busybox",
      "usr/bin/dash",
      "usr/bin/egrep",
      "usr/bin/mktemp",
      "usr/lib/perf-core/tests/shell/test_arm_spe.sh",
      "usr/lib/aarch64-linux-gnu/libodd.so.2",
      "usr/lib/ld-linux-aarch64.so.1",
      "usr/lib/modules/6.1.0-1-cloud-arm64/modules.dep",
    ])
      expect(initrd).toContain(`${path}\0`);
    expect(initrd).not.toContain("usr/bin/perl");
    expect(initrd).not.toContain("not for guests");
    expect(mirror.asked.filter((path) => path.includes("perl"))).toEqual([]);
  });

  it("is the same bytes from the same packages", async () => {
    const { guest } = await fetched();
    const before = readFileSync(guest.initrd);
    await removeGuest(guest, cacheDir);
    expect(inCache()).toEqual([]);
    const again = await fetched();
    expect(readFileSync(again.guest.initrd).equals(before)).toBe(true);
    expect(again.guest.manifest).toEqual(guest.manifest);
  });

  it("is not fetched again while the mirror has nothing newer, unless a file of it was harmed", async () => {
    const { guest } = await fetched();
    const asked = mirror.asked.length;
    expect((await fetched()).isNew).toBe(false);
    expect(mirror.asked.slice(asked)).toEqual(["/dists/bookworm/InRelease", INDEX]);
    writeFileSync(guest.image, "harmed");
    expect((await fetched()).isNew).toBe(true);
  });

  it("is listed, but not where its guest.json is damaged", async () => {
    const { guest } = await fetched();
    expect((await listGuests(cacheDir)).map(({ name }) => name)).toEqual(["bookworm"]);
    writeFileSync(join(guest.folder, "guest.json"), "{");
    expect(await listGuests(cacheDir)).toEqual([]);
  });
});

describe("a mirror that fails", () => {
  it("gives a package with a wrong checksum", async () => {
    mirror.files.set(PERF, new Uint8Array(mirror.files.get(PERF)?.length ?? 0));
    expect(await refused()).toMatch(/linux-perf_1\.0_arm64\.deb: has the SHA256 .* and should have/);
  });

  it("gives a longer package than its index says", async () => {
    mirror.files.set(PERF, new Uint8Array(1e6));
    expect(await refused()).toMatch(/linux-perf_1\.0_arm64\.deb: is longer than/);
  });

  it("has no such suite", async () => {
    mirror.files.delete("/dists/bookworm/InRelease");
    expect(await refused()).toMatch(/InRelease: the mirror answers 404 \(there is no such file\)/);
  });

  it("gives another suite's release", async () => {
    const index = mirror.files.get(INDEX) ?? new Uint8Array();
    mirror.files.set("/dists/bookworm/InRelease", Buffer.from(releaseText("trixie", index)));
    expect(await refused()).toContain('is of "trixie", not of bookworm');
  });

  it("is in the middle of an update: the old index is still there under its checksum", async () => {
    const index = mirror.files.get(INDEX) ?? new Uint8Array();
    const sum = (await import("./download.ts")).sha256(index);
    for (const other of [gzipSync("short"), Buffer.alloc(1e6)]) {
      mirror.files.set(INDEX, other);
      mirror.files.delete(`/dists/bookworm/main/binary-arm64/by-hash/SHA256/${sum}`);
      expect(await refused()).toMatch(/Packages\.gz: (has the SHA256|is longer than)/);
      mirror.files.set(`/dists/bookworm/main/binary-arm64/by-hash/SHA256/${sum}`, index);
      const { guest } = await fetched();
      await removeGuest(guest, cacheDir);
    }
  });

  it("breaks a connection: the rest is asked for, and the whole is right", async () => {
    let breaks = 0;
    mirror.misdeed = (path, response, content) => {
      if (path !== PERF || content === undefined || breaks++ > 0) return false;
      response.writeHead(200, { "content-length": content.length });
      response.write(content.subarray(0, 300), () => response.destroy());
      return true;
    };
    await fetched();
    expect(mirror.asked).toContain(`${PERF} bytes=300-`);
  });

  it("breaks a connection and is busy for a while: what came before is kept", async () => {
    let answers = 0;
    mirror.misdeed = (path, response, content) => {
      const status = [200, 503, 429][answers];
      if (path !== PERF || content === undefined || status === undefined) return false;
      answers += 1;
      response.writeHead(status, status === 200 ? { "content-length": content.length } : {});
      if (status === 200) response.write(content.subarray(0, 300), () => response.destroy());
      else response.end("busy");
      return true;
    };
    await fetched({ patience: { silenceMs: 200, tries: 4, pauseMs: 1 } });
    expect(mirror.asked.filter((path) => path === `${PERF} bytes=300-`)).toHaveLength(3);
  });

  it("says that a file has no size, or none that anybody has room for", async () => {
    const index = gunzipSync(mirror.files.get(INDEX) ?? "").toString();
    for (const size of ["many", "1e30"]) {
      const other = gzipSync(index.replaceAll(/^Size: .*$/gm, `Size: ${size}`));
      mirror.files.set(INDEX, other);
      mirror.files.set("/dists/bookworm/InRelease", Buffer.from(releaseText("bookworm", other)));
      expect(await refused()).toMatch(/\.deb: is said to have (NaN|1e\+30) bytes/);
    }
  });

  it("has an index that is no index", async () => {
    const other = Buffer.from("not packed");
    mirror.files.set(INDEX, other);
    mirror.files.set("/dists/bookworm/InRelease", Buffer.from(releaseText("bookworm", other)));
    expect(await refused()).toMatch(/Packages\.gz is damaged/);
  });

  it("breaks a connection without having said how long its answer is", async () => {
    let breaks = 0;
    mirror.misdeed = (path, response, content) => {
      if (path !== PERF || content === undefined || breaks++ > 0) return false;
      response.useChunkedEncodingByDefault = false;
      response.writeHead(200, { connection: "close" });
      response.end(content.subarray(0, 300));
      return true;
    };
    await fetched();
    expect(mirror.asked).toContain(`${PERF} bytes=300-`);
  });

  it("knows no ranges: the whole is taken anew", async () => {
    let breaks = 0;
    mirror.misdeed = (path, response, content) => {
      if (path !== PERF || content === undefined) return false;
      response.writeHead(200, { "content-length": content.length });
      if (breaks++ > 0) response.end(content);
      else response.write(content.subarray(0, 300), () => response.destroy());
      return true;
    };
    expect((await fetched()).isNew).toBe(true);
    expect(breaks).toBe(2);
  });

  it("breaks every connection", async () => {
    mirror.misdeed = (path, response) => {
      if (path !== PERF) return false;
      response.destroy();
      return true;
    };
    expect(await refused()).toMatch(/linux-perf_1\.0_arm64\.deb: cannot be fetched after 3 tries/);
    expect(mirror.asked.filter((path) => path === PERF)).toHaveLength(3);
  });

  it("never answers", async () => {
    mirror.misdeed = () => true;
    expect(await refused()).toMatch(/InRelease: cannot be fetched after 3 tries \(no answer for 0\.2 s\)/);
  });

  it("is not there", async () => {
    await mirror.close();
    const message = await refused();
    expect(message).toMatch(/cannot be fetched after 3 tries \(ECONNREFUSED/);
    // Whichever command fetches: run has no --mirror.
    expect(message).toContain(
      "name another mirror with SPEVISOR_MIRROR, or --mirror of spevisor guest fetch",
    );
  });

  it("is no address", async () => {
    expect(await refused({ mirror: "/srv/debian" })).toContain('"/srv/debian" is no http or https address');
  });
});

describe("a disk that is full", () => {
  const full = Object.assign(new Error("ENOSPC: no space left on device, write"), {
    errno: -28,
    code: "ENOSPC",
  });

  it.each(["linux-perf_1.0_arm64.deb", "Image", "initrd.cpio", "guest.json"])(
    "while %s is written",
    async (name) => {
      const message = await refused({
        writeFile: async (path, bytes) => {
          if (!path.includes(name)) return writeDurably(path, bytes);
          await writeDurably(path, bytes.subarray(0, 10));
          throw full;
        },
      });
      expect(message).toMatch(/cannot be written \(no space left on device\)\nMake room/);
    },
  );

  it("leaves the guest that was there", async () => {
    const { guest } = await fetched();
    const before = readFileSync(guest.image);
    writeFileSync(guest.initrd, "harmed, so that a new one is made");
    await expect(
      fetched({
        writeFile: (path, bytes) =>
          path.includes("Image") ? Promise.reject(full) : writeDurably(path, bytes),
      }),
    ).rejects.toThrow("no space left");
    expect(readFileSync(guest.image).equals(before)).toBe(true);
    expect(inCache().filter((name) => name.startsWith("guests"))).toEqual(WHOLE);
  });
});

it("leaves what another fetch is writing, and takes the packages away", async () => {
  const others = join("packages", `.perl.deb.${process.ppid}.tmp`);
  mkdirSync(join(cacheDir, "packages"), { recursive: true });
  writeFileSync(join(cacheDir, others), "half");
  const { guest } = await fetched();
  expect(inCache()).toEqual([...WHOLE, others]);
  await removeGuest(guest, cacheDir);
  expect(inCache()).toEqual([others]);
});

describe("an interrupted fetch", () => {
  it("ends with the signal's reason, and the next one goes on with the packages that are there", async () => {
    const controller = new AbortController();
    mirror.misdeed = (path) => {
      if (path === PERF) controller.abort(new Error("enough"));
      return path === PERF;
    };
    await expect(fetched({ signal: controller.signal })).rejects.toThrow("enough");
    const kept = inCache();
    expect(kept.length).toBeGreaterThan(0);
    expect(kept.every((name) => /^packages\/[^.][^/]*\.deb$/.test(name))).toBe(true);
    mirror.misdeed = undefined;
    mirror.asked.length = 0;
    await fetched();
    expect(mirror.asked.filter((path) => path.includes("linux-image"))).toEqual([]);
    expect(inCache()).toEqual(WHOLE);
  });

  it("leaves nothing half when Ctrl-C ends the process while it writes", async () => {
    const script = join(scratch, "interrupted.ts");
    const module = (name: string) => JSON.stringify(fileURLToPath(new URL(name, import.meta.url)));
    writeFileSync(
      script,
      `import { fetchGuest } from ${module("./fetch-guest.ts")};
import { writeDurably } from ${module("./store.ts")};
process.on("SIGINT", () => process.exit(130));
await fetchGuest({
  suite: "bookworm", mirror: ${JSON.stringify(mirror.address)}, cacheDir: ${JSON.stringify(cacheDir)},
  keyring: "/none",
  writeFile: async (path, bytes) => {
    await writeDurably(path, bytes);
    if (path.endsWith("initrd.cpio")) { console.log("writing"); await new Promise((resolve) => setTimeout(resolve, 60_000)); }
  },
});\n`,
    );
    const child = spawn(
      process.execPath,
      [fileURLToPath(new URL("../../../scripts/typescript.js", import.meta.url)), script],
      {
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    child.stdout.once("data", () => child.kill("SIGINT"));
    const code = await new Promise((resolve) => child.once("exit", resolve));
    expect(code).toBe(130);
    expect(inCache().filter((name) => name.startsWith("guests"))).toEqual([]);
    expect(readdirSync(join(cacheDir, "guests"))).toEqual([]);
  });

  it("that was killed leaves nothing behind the next one", async () => {
    // No process has this number: it is above what Linux gives out.
    const left = join(cacheDir, "guests", ".bookworm.99999999.tmp");
    mkdirSync(left, { recursive: true });
    writeFileSync(join(left, "Image"), "half");
    await fetched();
    expect(inCache()).toEqual(WHOLE);
  });
});

const haveGpg = ["gpg", "gpgv"].every((name) => spawnSync(name, ["--version"]).status === 0);
if (!haveGpg) console.log("fetch-guest.test.ts: signatures skipped, needs: apt-get install gpg gpgv");

describe.skipIf(!haveGpg)("a signed mirror", () => {
  const home = join(scratch, "gpg");
  const keyring = join(scratch, "keyring.gpg");
  const gpg = (args: readonly string[], input = ""): string => {
    const done = spawnSync("gpg", ["--homedir", home, "--batch", "--quiet", ...args], {
      input,
      encoding: "utf8",
    });
    if (done.status !== 0) throw new Error(done.stderr);
    return done.stdout;
  };
  const sign = (): void => {
    const release = Buffer.from(mirror.files.get("/dists/bookworm/InRelease") ?? []).toString();
    mirror.files.set("/dists/bookworm/InRelease", Buffer.from(gpg(["--clearsign"], release)));
  };

  it("is believed where the key is known, and not where the release was changed since, or the key is another's", async () => {
    mkdirSync(home, { mode: 0o700 });
    gpg(["--passphrase", "", "--quick-generate-key", "mirror@example.org", "ed25519", "sign"]);
    gpg(["--output", keyring, "--export"]);
    const unsigned = mirror.files.get("/dists/bookworm/InRelease") ?? new Uint8Array();
    expect(await refused({ keyring })).toContain("its signature is not Debian's");
    sign();
    const signed = Buffer.from(mirror.files.get("/dists/bookworm/InRelease") ?? []).toString();
    expect(signed).toContain("BEGIN PGP SIGNED MESSAGE");

    mirror.files.set(
      "/dists/bookworm/InRelease",
      Buffer.from(signed.replace("Version: 12.0", "Version: 12.1")),
    );
    expect(await refused({ keyring })).toContain("its signature is not Debian's");

    // What stands before the signed part is nobody's word.
    mirror.files.set("/dists/bookworm/InRelease", Buffer.from(`Codename: trixie\n\n${signed}`));
    const { guest } = await fetched({ keyring, onWarning: (text) => expect(text).toBe("none") });
    expect(guest.manifest.signature).toBe("checked");
    await removeGuest(guest, cacheDir);

    mirror.files.set("/dists/bookworm/InRelease", unsigned);
    gpg(["--yes", "--passphrase", "", "--quick-generate-key", "other@example.org", "ed25519", "sign"]);
    mirror.files.set(
      "/dists/bookworm/InRelease",
      Buffer.from(
        gpg(["--local-user", "other@example.org", "--clearsign"], Buffer.from(unsigned).toString()),
      ),
    );
    expect(await refused({ keyring })).toContain("its signature is not Debian's");
  });
});
