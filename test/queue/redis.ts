/** A Redis of the tests' own: on a free port, with an append-only file in a folder of its own. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";

/** Whether there is one to start; says what to install where there is none. */
export function hasRedis(who: string): boolean {
  try {
    execFileSync("redis-server", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    console.log(`${who}: skipped, redis-server is not installed (Debian: apt-get install redis-server)`);
    return false;
  }
}

/** A port that nobody listens on. */
export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve((address as { readonly port: number }).port));
    });
  });

export class TestRedis {
  readonly url: string;
  readonly port: number;
  readonly #folder = mkdtempSync(join(tmpdir(), "spevisor-redis-"));
  readonly #options: readonly string[];
  #process: ChildProcess | undefined;

  private constructor(port: number, options: readonly string[]) {
    this.port = port;
    this.url = `redis://127.0.0.1:${port}`;
    this.#options = options;
  }

  /** @param options more for redis-server, such as ["--requirepass", "secret"] */
  static async start(options: readonly string[] = []): Promise<TestRedis> {
    const redis = new TestRedis(await freePort(), options);
    redis.start();
    await redis.use((client) => client.ping());
    return redis;
  }

  /** Starts it, again where it was killed: with what its file has. */
  start(): void {
    const where = ["--port", String(this.port), "--bind", "127.0.0.1", "--dir", this.#folder];
    const args = [...where, "--save", "", "--appendonly", "yes", ...this.#options];
    this.#process = spawn("redis-server", args, { stdio: "ignore" });
  }

  /** kill -9. */
  async kill(): Promise<void> {
    const { exitCode } = this.#process ?? { exitCode: 0 };
    if (this.#process === undefined || exitCode !== null) return;
    const ended = new Promise((resolve) => this.#process?.once("exit", resolve));
    this.#process.kill("SIGKILL");
    await ended;
  }

  /** Something done with a connection, which waits until there is a Redis. */
  async use<T>(action: (client: Redis) => Promise<T>): Promise<T> {
    const password = this.#options[this.#options.indexOf("--requirepass") + 1];
    const client = new Redis(this.url, {
      maxRetriesPerRequest: null,
      retryStrategy: () => 50,
      ...(this.#options.includes("--requirepass") && password !== undefined ? { password } : {}),
    });
    client.on("error", () => undefined);
    try {
      return await action(client);
    } finally {
      client.disconnect();
    }
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
