/** A worker's figures for Prometheus. */
import { createServer, type Server } from "node:http";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { UserError } from "../../common/errors.ts";
import type { CellOutcome } from "../cells/task.ts";

export class WorkerMetrics {
  readonly #registry = new Registry();
  readonly #cells: Counter<"kind" | "outcome">;
  readonly #seconds: Histogram<"kind">;
  readonly #running: Gauge;
  readonly #connected: Gauge;
  #server: Server | undefined;

  constructor(version: string) {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    new Gauge({
      name: "spevisor_info",
      help: "The worker's version",
      labelNames: ["version"],
      registers,
    }).set({ version }, 1);
    this.#cells = new Counter({
      name: "spevisor_cells_total",
      help: "Cells that this worker has run, by kind and outcome",
      labelNames: ["kind", "outcome"],
      registers,
    });
    this.#seconds = new Histogram({
      name: "spevisor_cell_seconds",
      help: "How long cells took that gave a row",
      labelNames: ["kind"],
      buckets: [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300],
      registers,
    });
    this.#running = new Gauge({
      name: "spevisor_cells_running",
      help: "Cells that run now or are next",
      registers,
    });
    this.#connected = new Gauge({
      name: "spevisor_queue_connected",
      help: "1 while Redis is there",
      registers,
    });
  }

  /** @param bytes what kept inputs take on disk, asked whenever somebody looks */
  onInputBytes(bytes: () => number): void {
    new Gauge({
      name: "spevisor_input_cache_bytes",
      help: "What kept inputs take on disk",
      registers: [this.#registry],
      collect() {
        this.set(bytes());
      },
    });
  }

  began(): void {
    this.#running.inc();
  }

  ended(kind: string, outcome: CellOutcome): void {
    this.#running.dec();
    this.#cells.inc({ kind, outcome: outcome.kind });
    if (outcome.kind === "row") this.#seconds.observe({ kind }, outcome.tookMs / 1000);
  }

  connected(is: boolean): void {
    this.#connected.set(is ? 1 : 0);
  }

  /** Serves /metrics. @param at "PORT" or "HOST:PORT" @returns the port @throws UserError where that cannot be had */
  async serve(at: string): Promise<number> {
    const [, host = "127.0.0.1", port = ""] = /^(?:(.*):)?(\d+)$/.exec(at) ?? [];
    if (port === "") throw new UserError(`--metrics: "${at}" is no port`, "Write PORT, or HOST:PORT");
    const server = createServer((request, response) => {
      if (request.url !== "/metrics") {
        response.writeHead(404).end();
        return;
      }
      void this.#registry
        .metrics()
        .then((text) => response.writeHead(200, { "content-type": this.#registry.contentType }).end(text));
    });
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", (error) => reject(new UserError(`--metrics: ${at}: ${error.message}`)));
      server.listen(Number(port), host, resolve);
    });
    const address = server.address();
    return typeof address === "object" && address !== null ? address.port : Number(port);
  }

  close(): void {
    this.#server?.close();
  }
}
