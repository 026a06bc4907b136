// Connections that are held beside a load: they say something once, and from then on nothing, or they never read what they
// asked for. Made with node:net: they have nothing to do that would need more.

import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { InternetAddress } from "../sys/address.ts";

export interface HoldOptions {
  readonly count: number;
  /** Sent by each once it is connected. */
  readonly request: string;
  /** Reads what comes. Without it, nothing is ever read: a client that does not keep up. */
  readonly reads: boolean;
  /** How long an answer is waited for, in ms. */
  readonly patienceMs: number;
}

export class HeldConnections {
  readonly #sockets: Socket[] = [];
  #answered = 0;
  #failed = 0;
  /** They were ended by us. */
  #ended = false;

  /** Resolves when all are connected and, where they read, answered or out of patience. @throws Error when one cannot connect */
  static async hold(address: InternetAddress, options: HoldOptions): Promise<HeldConnections> {
    const held = new HeldConnections();
    try {
      for (let n = 0; n < options.count; n++) await held.#add(address, options);
      if (options.reads) await held.#untilAnswered(options);
    } catch (error) {
      held.end();
      throw error;
    }
    return held;
  }

  /** How many have been answered so far. */
  get answered(): number {
    return this.#answered;
  }

  /** How many the server has ended or reset. */
  get failed(): number {
    return this.#failed;
  }

  end(): void {
    this.#ended = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  async #add(address: InternetAddress, { request, reads }: HoldOptions): Promise<void> {
    const socket = connect({ host: address.host, port: address.port, noDelay: true });
    this.#sockets.push(socket);
    await once(socket, "connect");
    let ended = false;
    const over = () => {
      if (!ended && !this.#ended) this.#failed++;
      ended = true;
    };
    // Being reset is counted, and no failure of ours.
    socket.on("error", over).on("end", over);
    if (reads) {
      socket.once("data", () => this.#answered++);
      socket.resume();
    }
    socket.write(request);
  }

  async #untilAnswered({ count, patienceMs }: HoldOptions): Promise<void> {
    const deadlineMs = performance.now() + patienceMs;
    // Who was refused will not be answered.
    const settled = () => this.#answered + this.#failed >= count;
    while (!settled() && performance.now() < deadlineMs) await sleep(10);
  }
}
