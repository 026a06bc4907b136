// A network that fails: a proxy whose connections are cut when it is told to, after a number of bytes, or at once.

import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import type { TestContext } from "node:test";

export class Cutter {
  /** Connections that were passed on so far, and those that were cut. */
  connections = 0;
  cuts = 0;
  /** Every new connection is closed at once. */
  refusing = false;
  /** For the connections that follow: cut after so many bytes in both directions together. */
  cutAfterBytes = Number.POSITIVE_INFINITY;
  /** How many bytes the next connection may pass, if it is asked anew each time. */
  nextCut: (() => number) | undefined;
  readonly #server: Server;
  readonly #pairs = new Set<() => void>();

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(t: TestContext, target: number): Promise<Cutter> {
    const server = createServer((client) => cutter.#accept(client, target));
    const cutter = new Cutter(server);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    t.after(() => {
      server.close();
      cutter.cut();
    });
    return cutter;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Connections that are open. */
  get open(): number {
    return this.#pairs.size;
  }

  /** Resets every connection, on both sides. */
  cut(): void {
    for (const cut of [...this.#pairs]) cut();
  }

  #accept(client: Socket, target: number): void {
    if (this.refusing) return void client.resetAndDestroy();
    this.connections++;
    const server = connect(target, "127.0.0.1");
    let left = this.nextCut?.() ?? this.cutAfterBytes;
    const cut = () => {
      if (!this.#pairs.delete(cut)) return;
      this.cuts++;
      client.resetAndDestroy();
      server.resetAndDestroy();
    };
    this.#pairs.add(cut);
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      from.setNoDelay(true);
      from.on("data", (bytes: Buffer) => {
        to.write(bytes.subarray(0, left));
        left -= bytes.length;
        // What has been passed on is to arrive before the cut.
        if (left <= 0) setImmediate(cut);
        else if (to.writableNeedDrain) from.pause();
      });
      to.on("drain", () => from.resume());
      from.on("end", () => to.end());
      from.on("error", () => to.destroy());
      from.on("close", () => {
        this.#pairs.delete(cut);
        to.destroySoon();
      });
    }
  }
}
