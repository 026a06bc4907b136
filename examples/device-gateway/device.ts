// A device: reports readings and obeys commands, over a network that cuts it off now and then. It does not notice, but for the time.
//
//   node examples/device-gateway/device.ts HOST:PORT ID

import { setTimeout as sleep } from "node:timers/promises";
import { CallError, type Client, type ClientOptions, client } from "../../src/client/client.ts";
import type { gateway } from "./gateway.ts";

/** Between two attempts to ask for commands. */
const AGAIN_MS = 20;
const REPORT_WITHIN_MS = 60_000;

export class Device {
  readonly id: string;
  readonly #api: Client<ReturnType<typeof gateway>>;
  readonly #obey: (command: string) => void;
  /** The last command that it has: to be kept over a restart where there is a disk. */
  #lastSeq = 0;
  #stopped = false;
  readonly #listening: Promise<void>;

  constructor(id: string, options: ClientOptions, obey: (command: string) => void) {
    this.id = id;
    this.#obey = obey;
    // It has nobody else to turn to: it asks until it is answered.
    this.#api = client<ReturnType<typeof gateway>>({ retries: 100, ...options });
    this.#listening = this.#listen();
  }

  /** Resolves when the gateway has it, once. */
  async report(metric: string, value: number): Promise<void> {
    const options = { idempotencyKey: true, deadlineMs: REPORT_WITHIN_MS } as const;
    await this.#api.call("device.report", { device: this.id, metric, value }, options);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#api.close();
    await this.#listening;
  }

  async #listen(): Promise<void> {
    while (!this.#stopped) {
      try {
        const asked = { device: this.id, after: this.#lastSeq };
        for await (const { seq, command } of this.#api.stream("device.commands", asked)) {
          this.#lastSeq = seq;
          this.#obey(command);
        }
      } catch (error) {
        // Cut off: asked again from where it was.
        if (!(error instanceof CallError)) throw error;
      }
      if (!this.#stopped) await sleep(AGAIN_MS);
    }
  }
}

if (import.meta.main) {
  const [at = "127.0.0.1:7000", id = "device-1"] = process.argv.slice(2);
  const [host = "127.0.0.1", port = "7000"] = at.split(":");
  const device = new Device(id, { host, port: Number(port) }, (command) => {
    console.log(`${id} obeys: ${command}`);
    if (command === "stop") void device.stop().then(() => process.exit());
  });
  for (let n = 0; ; n++) {
    await device.report("pressure", 100 + 10 * Math.sin(n / 10));
    await sleep(100);
  }
}
