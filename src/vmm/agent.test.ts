import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { VirtioConsole } from "../board/virtio/console.ts";
import { type AgentState, GuestAgent, quoted, releaseWithoutPort } from "./agent.ts";

const SHARE = { tag: "share0", directory: "/share", readOnly: false };

/** The host's side of a guest whose lines the test says. */
function conversation() {
  const heard: string[] = [];
  const told: string[] = [];
  const closed: number[] = [];
  let starts = 0;
  const agent = new GuestAgent({
    onStdout: (bytes) => told.push(`stdout ${Buffer.from(bytes).toString()}`),
    onStderr: (bytes) => told.push(`stderr ${Buffer.from(bytes).toString()}`),
    onOut: (bytes) => told.push(`out ${Buffer.from(bytes).toString()}`),
    onReady: () => told.push("ready"),
    onError: (order, text) => told.push(`${order}: ${text}`),
    onStart: () => {
      starts += 1;
    },
    onExit: (status) => told.push(`exit ${status}`),
  });
  const console: Pick<VirtioConsole, "send" | "close"> = {
    send: (port, bytes) => {
      heard.push(`${port} ${Buffer.from(bytes).toString()}`);
      return bytes.length;
    },
    close: (port) => {
      closed.push(port);
    },
  };
  agent.attach(console as VirtioConsole);
  const port = (name: string) => {
    const found = agent.ports.find((port) => port.name === `org.spevisor.${name}`);
    expect(found).toBeDefined();
    return (text: string) => found?.onData(new TextEncoder().encode(text));
  };
  return { agent, heard, told, closed, starts: () => starts, say: port("control"), port };
}
function ready() {
  const made = conversation();
  made.say("ready\n");
  made.told.length = 0;
  return made;
}

it("says when a command starts: when what was ordered before it is done", () => {
  const { agent, starts, say } = conversation();
  agent.share(SHARE);
  agent.run("true");
  say("ready\n");
  expect(starts()).toBe(0);
  say("ok\n");
  expect(starts()).toBe(1);
  say("exit 0\n");
  agent.run("true");
  expect(starts()).toBe(2);
});

it("waits for the guest, then gives its orders one by one", () => {
  const { agent, heard, told, say } = conversation();
  agent.share(SHARE);
  agent.date(1_767_225_600);
  agent.run("true");
  expect([agent.ready, heard]).toEqual([false, []]);
  say("ready\n");
  expect([agent.ready, told, heard]).toEqual([true, ["ready"], [`1 share share0 ${btoa("/share")}\n`]]);
  say("ok\n");
  expect(heard.at(-1)).toBe("1 date 1767225600\n");
  say("ok\n");
  expect(heard.at(-1)).toBe("1 run dHJ1ZQ==\n");
  say("exit 3\n");
  expect(told).toEqual(["ready", "exit 3"]);
});

it("does not wait for an answer where there is none: console and poweroff", () => {
  const { agent, heard } = ready();
  agent.console();
  agent.powerOff();
  agent.size(24, 80);
  agent.date(1);
  expect(heard).toEqual(["1 console\n", "1 poweroff\n", "1 size 24 80\n"]);
});

it("says which order was refused and goes on with the next", () => {
  const { agent, heard, told, say } = ready();
  agent.share({ ...SHARE, readOnly: true });
  agent.run("x");
  say("error mount: no such device \n");
  expect(told).toEqual(["share: mount: no such device"]);
  expect(heard.at(-1)).toBe("1 run eA==\n");
});

it("takes a command that was refused for one that has ended, with timeout(1)'s status for that", () => {
  const { agent, told, say } = ready();
  agent.run("x");
  say("error not base64\n");
  expect(told).toEqual(["run: not base64", "exit 125"]);
});

it("needs no ready of a guest that a snapshot has made", () => {
  const { agent, heard } = conversation();
  agent.restore(ready().agent.save());
  agent.powerOff();
  expect([agent.ready, heard]).toEqual([true, ["1 poweroff\n"]]);
});

it("goes on from a snapshot with the order whose answer was awaited, and mounts no share twice", () => {
  const before = ready();
  before.agent.share(SHARE);
  before.agent.date(1);
  const { agent, heard, told, say } = conversation();
  agent.restore(JSON.parse(JSON.stringify(before.agent.save())) as AgentState);
  agent.share(SHARE);
  agent.run("true");
  expect(heard).toEqual([]);
  say("error no such share\n");
  expect([heard, told]).toEqual([["1 date 1\n"], ["share: no such share"]]);
  say("ok\n");
  expect(heard.at(-1)).toBe("1 run dHJ1ZQ==\n");
  say("exit 0\n");
  expect(told.at(-1)).toBe("exit 0");
});

it("names the place of a share in base64, whatever characters it has, and says what is read-only", () => {
  const { agent, heard } = ready();
  agent.share({ tag: "share1", directory: "/my ü", readOnly: true });
  expect(heard).toEqual([`1 share share1 ${Buffer.from("/my ü").toString("base64")} ro\n`]);
});

it("collects on a port of its own, while the answer to an order is awaited", () => {
  const { agent, heard, told, port } = ready();
  agent.run("x");
  agent.collect();
  port("out")("archive");
  expect([heard.slice(1), told]).toEqual([["5 collect\n"], ["out archive"]]);
});

it("hands streams on, and input to the command", () => {
  const { agent, heard, told, closed, port } = ready();
  port("stdout")("out");
  port("stderr")("err");
  port("stdin")("nobody listens");
  expect(told).toEqual(["stdout out", "stderr err"]);
  expect(agent.input(Uint8Array.of(0x61, 0x62))).toBe(2);
  agent.endInput();
  expect([heard, closed]).toEqual([["2 ab"], [2]]);
  expect(new GuestAgent({ ...noOptions }).input(Uint8Array.of(1))).toBe(0);
});
const noOptions = {
  onStdout: () => undefined,
  onStderr: () => undefined,
  onReady: () => undefined,
  onError: () => undefined,
  onExit: () => undefined,
};

describe("lines", () => {
  it("may come in pieces, and many at once", () => {
    const { agent, heard, told, say } = conversation();
    agent.date(1);
    agent.run("x");
    for (const piece of ["re", "a", "dy\no", "k\nexit", " 12", "\n"]) say(piece);
    expect(told).toEqual(["ready", "exit 12"]);
    expect(heard).toHaveLength(2);
  });

  it("that are too long are cut, and the next is whole again", () => {
    const { agent, told, say } = ready();
    agent.share({ ...SHARE, readOnly: true });
    say(`error ${"x".repeat(100_000)}`);
    say("\n");
    expect(told).toEqual([`share: ${"x".repeat(4090)}`]);
    agent.run("x");
    say("exit 0\n");
    expect(told.at(-1)).toBe("exit 0");
  });

  it("of other bytes do no harm", () => {
    const { agent, told, say, port } = conversation();
    for (const line of [
      "\n",
      "\u0000\u00ff\n",
      "READY\n",
      "ready \n",
      "exit\n",
      "exit 1000\n",
      "exit -1\n",
      "exit x\n",
    ])
      say(line);
    port("control")("é\n");
    expect([agent.ready, told]).toEqual([false, []]);
    say("ready\nready\n");
    expect(told).toEqual(["ready"]);
  });
});

describe("a script", () => {
  const script = (text: string): string => {
    const { agent, heard } = ready();
    agent.run(text);
    return Buffer.from(heard[0]?.slice("1 run ".length) ?? "", "base64").toString("utf8");
  };

  it("arrives as it is", () => {
    for (const text of ["", "echo 'a b'\n\n# ü € 😀\n", "a".repeat(60_000)]) expect(script(text)).toBe(text);
  });
});

it("quotes words for a shell", () => {
  expect(["a b", "it's", "$x", ""].map(quoted)).toEqual(["'a b'", "'it'\\''s'", "'$x'", "''"]);
});

it("knows the line by which the guest's first process says that it has no port, as the console gives it", () => {
  const init = readFileSync(new URL("../guest/debian/init.sh", import.meta.url), "utf8");
  const line = /echo "(spevisor: no control port.*)"/
    .exec(init)?.[1]
    ?.replace("$(uname -r)", "7.2.13+deb14-arm64");
  expect(releaseWithoutPort(`${line}\r`)).toBe("7.2.13+deb14-arm64");
  expect(releaseWithoutPort(`[    0.1] ${line}`)).toBeUndefined();
  expect(releaseWithoutPort("Linux version 7.2")).toBeUndefined();
});
