import { describe, expect, it } from "vitest";
import { type ConsolePort, VirtioConsole } from "./console.ts";
import { type Buffer, Driver, Ram, REG } from "./driver.testing.ts";
import { u16At, u16Bytes, u32At, u32Bytes } from "./memory.ts";
import { VirtioMmio } from "./mmio.ts";

const MULTIPORT = 2n;
const DEVICE_READY = 0;
const PORT_READY = 3;
const PORT_OPEN = 6;
const CONTROL_IN = 2;
const CONTROL_OUT = 3;
const NAMES = ["add", "", "remove", "", "console", "resize", "open", "name"] as const;

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** The parts of Linux's virtio_console.c that matter: what it sends when, and what it throws away. */
class ConsoleDriver extends Driver {
  readonly heard: string[] = [];
  readonly #control = new Map<number, Buffer>();
  readonly #in = new Map<number, Map<number, Buffer>>();
  readonly #out = new Map<number, Buffer>();

  boot(controlBuffers = 8): void {
    this.start({ features: MULTIPORT });
    for (let i = 0; i < controlBuffers; i++) this.#giveControl(this.in(64));
    this.say(0, DEVICE_READY, 1);
  }

  #giveControl(buffer: Buffer): void {
    this.#control.set(this.add(CONTROL_IN, [buffer]), buffer);
  }

  say(port: number, event: number, value: number): void {
    this.request(CONTROL_OUT, [
      this.out(Uint8Array.of(...u32Bytes(port), ...u16Bytes(event), ...u16Bytes(value))),
    ]);
  }

  /** control_work_handler: reads each message, acts on it, and gives the buffer back. */
  listen(): string[] {
    const heard: string[] = [];
    for (let used = this.queue(CONTROL_IN).take(); used; used = this.queue(CONTROL_IN).take()) {
      const buffer = this.#control.get(used.head);
      if (buffer === undefined) throw new Error("not a control buffer");
      const message = this.contents([buffer], used.bytes);
      const [port, event, value] = [u32At(message, 0), u16At(message, 4), u16At(message, 6)];
      const name = NAMES[event + (event === 1 ? -1 : 0)] ?? "?";
      heard.push(
        `${port} ${event === 1 ? "add" : name} ${event === 7 ? decode(message.subarray(8)) : value}`,
      );
      if (event === 5) heard.push(`${[...message.subarray(8)]}`);
      this.#giveControl(buffer);
      if (event === 1) this.#addPort(port);
    }
    return heard;
  }

  #addPort(port: number): void {
    this.give(port, 4, 16);
    this.say(port, PORT_READY, 1);
  }

  /** Buffers for a port's input. */
  give(port: number, count: number, bytes: number): void {
    const buffers = this.#in.get(port) ?? new Map<number, Buffer>();
    this.#in.set(port, buffers);
    for (let i = 0; i < count; i++) {
      const buffer = this.in(bytes);
      buffers.set(this.add(port === 0 ? 0 : 2 * port + 2, [buffer]), buffer);
    }
  }

  /** What has arrived; the buffers go back. */
  receive(port: number): string {
    const queue = port === 0 ? 0 : 2 * port + 2;
    const buffers = this.#in.get(port);
    let text = "";
    for (let used = this.queue(queue).take(); used; used = this.queue(queue).take()) {
      const buffer = buffers?.get(used.head);
      if (buffer === undefined) throw new Error("not a buffer of this port");
      text += decode(this.contents([buffer], used.bytes));
      buffers?.delete(used.head);
      buffers?.set(this.add(queue, [buffer]), buffer);
    }
    return text;
  }

  /** send_buf: how many buffers the device has given back. */
  write(port: number, text: string): number {
    const queue = port === 0 ? 1 : 2 * port + 3;
    const buffer = this.out(encode(text));
    this.#out.set(this.add(queue, [buffer]), buffer);
    return this.reclaim(port);
  }

  reclaim(port: number): number {
    const queue = port === 0 ? 1 : 2 * port + 3;
    let count = 0;
    while (this.queue(queue).take() !== undefined) count++;
    return count;
  }
}

function machine(pendingBytes?: number) {
  const log: string[] = [];
  const port = (name: string): ConsolePort => ({
    name,
    onData: (bytes) => log.push(`${name}: ${decode(bytes)}`),
    onOpen: (open) => log.push(`${name} ${open ? "opened" : "closed"}`),
  });
  const console = new VirtioConsole({
    ports: [port("console"), port("agent")],
    ...(pendingBytes === undefined ? {} : { pendingBytes }),
  });
  const ram = new Ram(4 * 1024 ** 2);
  const mmio = new VirtioMmio(console, ram, () => undefined);
  const driver = new ConsoleDriver(mmio, ram);
  return { console, driver, mmio, log, ram };
}

function booted(pendingBytes?: number) {
  const made = machine(pendingBytes);
  made.driver.boot();
  made.driver.listen();
  return made;
}

it("brings up ports as Linux's driver asks for them; a port is connected before its name is known", () => {
  const { driver, mmio } = machine();
  driver.boot();
  expect(mmio.read(REG.config + 4, 4)).toBe(2n);
  expect(driver.listen()).toEqual([
    "0 add 0",
    "1 add 0",
    "0 console 1",
    "0 open 1",
    "0 name console",
    "1 open 1",
    "1 name agent",
  ]);
});

it("keeps control messages until there are buffers for them", () => {
  const { driver } = machine();
  driver.boot(1);
  expect(driver.listen()).toHaveLength(7);
});

describe("data for the guest", () => {
  it("waits until a program opens the port, and is there when open() returns", () => {
    const { console, driver, log } = booted();
    expect(console.send(1, encode("early "))).toBe(6);
    expect(console.send(1, encode("bird"))).toBe(4);
    expect(driver.receive(1)).toBe("");
    driver.say(1, PORT_OPEN, 1);
    expect(driver.receive(1)).toBe("early bird");
    expect([log, console.guestHasOpen(1)]).toEqual([["agent opened"], true]);
  });

  it("waits for buffers, up to a bound, in order", () => {
    const { console, driver } = booted(100);
    driver.say(1, PORT_OPEN, 1);
    const text = Array.from({ length: 200 }, (_, i) => String.fromCharCode(97 + (i % 26))).join("");
    // 4 buffers of 16 bytes; the bound is on what comes in before any goes out.
    expect(console.send(1, encode(text))).toBe(100);
    expect(console.room(1)).toBe(64);
    expect(console.send(1, encode(text.slice(100)))).toBe(64);
    expect(console.send(1, encode("x"))).toBe(0);
    expect(driver.receive(1) + driver.receive(1) + driver.receive(1)).toBe(text.slice(0, 164));
    expect(console.room(1)).toBe(100);
  });

  it("comes before the end of the file when the host closes", () => {
    const { console, driver } = booted();
    driver.say(1, PORT_OPEN, 1);
    console.send(1, encode("0123456789abcdef".repeat(5)));
    console.close(1);
    expect(console.send(1, encode("late"))).toBe(0);
    expect(driver.listen()).toEqual([]);
    expect(driver.receive(1)).toHaveLength(80);
    expect(driver.listen()).toEqual(["1 open 0"]);
    console.open(1);
    expect(driver.listen()).toEqual(["1 open 1"]);
    expect(console.send(1, encode("again"))).toBe(5);
    expect(driver.receive(1)).toBe("again");
  });

  it("stays for the next program after one that closed the port", () => {
    const { console, driver, log } = booted();
    driver.say(1, PORT_OPEN, 1);
    driver.say(1, PORT_OPEN, 0);
    console.send(1, encode("hello"));
    expect(driver.receive(1)).toBe("");
    driver.say(1, PORT_OPEN, 1);
    expect(driver.receive(1)).toBe("hello");
    expect(log).toEqual(["agent opened", "agent closed", "agent opened"]);
  });
});

describe("data from the guest", () => {
  it("comes to its port, and gives the buffer back at once", () => {
    const { driver, log } = booted();
    expect(driver.write(0, "boot\n")).toBe(1);
    driver.say(1, PORT_OPEN, 1);
    expect(driver.write(1, "one")).toBe(1);
    expect(driver.write(1, "two")).toBe(1);
    expect(log).toEqual(["console: boot\n", "agent opened", "agent: one", "agent: two"]);
  });

  it("stays in the guest while the port is on hold, so that its ring fills and its writes block", () => {
    const { console, driver, log } = booted();
    driver.say(1, PORT_OPEN, 1);
    console.hold(1);
    for (let i = 0; i < 64; i++) expect(driver.write(1, `${i}`)).toBe(0);
    expect(driver.queue(5).free).toBe(0);
    expect(log).toEqual(["agent opened"]);
    console.resume(1);
    expect(driver.reclaim(1)).toBe(64);
    expect(log.slice(1)).toEqual(Array.from({ length: 64 }, (_, i) => `agent: ${i}`));
    expect(driver.write(1, "more")).toBe(1);
  });

  it("is all there before the close is, also from a port on hold", () => {
    const { console, driver, log } = booted();
    driver.say(1, PORT_OPEN, 1);
    console.hold(1);
    driver.write(1, "last words");
    driver.say(1, PORT_OPEN, 0);
    expect(log).toEqual(["agent opened", "agent: last words", "agent closed"]);
  });

  it("cannot be held at the console, whose driver spins until it is taken", () => {
    expect(() => booted().console.hold(0)).toThrow(RangeError);
  });
});

it("tells the console's size, and unplugs a port", () => {
  const { console, driver, log } = booted();
  console.resize(80, 24);
  expect(driver.listen()).toEqual(["0 resize 0", "24,0,80,0"]);
  driver.say(1, PORT_OPEN, 1);
  console.remove(1);
  expect(driver.listen()).toEqual(["1 remove 0"]);
  expect(log).toEqual(["agent opened", "agent closed"]);
});

it("is one open console for a driver without control messages", () => {
  const { console, driver, log } = machine();
  driver.start();
  console.send(0, encode("login"));
  driver.give(0, 1, 16);
  expect(driver.receive(0)).toBe("login");
  driver.write(0, "root");
  expect(log).toEqual(["console opened", "console: root"]);
});

it("does not keep messages for a driver that asks and asks and takes none", () => {
  const { driver, mmio } = machine();
  driver.start({ features: MULTIPORT });
  for (let i = 0; i < 400 && mmio.brokenBecause === undefined; i++) {
    const message = Uint8Array.of(...u32Bytes(0), ...u16Bytes(PORT_READY), ...u16Bytes(1));
    driver.add(CONTROL_OUT, [driver.out(message)]);
    driver.queue(CONTROL_OUT).take();
  }
  expect(mmio.brokenBecause).toMatch("takes none");
  driver.boot();
  expect(driver.listen()).toHaveLength(7);
});

it("tells of the end when the guest resets, and keeps what it has for the next driver", () => {
  const { console, driver, log } = booted();
  driver.say(1, PORT_OPEN, 1);
  driver.set(REG.status, 0);
  expect(log).toEqual(["agent opened", "agent closed"]);
  console.send(1, encode("kept"));
  driver.boot();
  driver.listen();
  driver.say(1, PORT_OPEN, 1);
  expect(driver.receive(1)).toBe("kept");
});

it("goes on from a saved state as if nothing had been", () => {
  const { console, driver, mmio, ram } = booted();
  driver.say(1, PORT_OPEN, 1);
  console.send(1, encode("0123456789abcdef".repeat(6)));
  console.close(1);
  const copy = machine();
  const there = new VirtioMmio(copy.console, ram, () => undefined);
  there.restore(JSON.parse(JSON.stringify(mmio.save())));
  expect(there.save()).toEqual(mmio.save());
  Object.assign(driver, { mmio: there });
  expect(driver.receive(1) + driver.receive(1)).toBe("0123456789abcdef".repeat(6));
  expect(driver.listen()).toEqual(["1 open 0"]);
  driver.write(1, "from the guest");
  expect(copy.log).toEqual(["agent: from the guest"]);
});
