// Clients that come and go without a pause, as short requests do: each connects, asks once, reads the answer and leaves. Any
// other end than that is counted by its kind.

import { connect, type NetConnectOpts } from "node:net";
import type { Address } from "../../src/sys/address.ts";

export interface VisitorsOptions {
  readonly address: Address;
  /** At a time. */
  readonly visitors: number;
  /** A line. */
  readonly ask: string;
  /** Visits begun in a second, at the most; left out, each comes again as soon as it has left. */
  readonly perSecond?: number;
}

export class Visitors {
  /** Visits that ended well, by the answer. */
  readonly answers = new Map<string, number>();
  /** Those that did not: by the error's code, or "cut" for an end before the whole answer. */
  readonly failures = new Map<string, number>();
  readonly #options: VisitorsOptions;
  #leaving = false;
  #inside = 0;
  /** When the next visit may begin. */
  #nextMs = 0;

  constructor(options: VisitorsOptions) {
    this.#options = options;
    for (let n = 0; n < options.visitors; n++) this.#visit();
  }

  /** Visits that ended well. */
  get served(): number {
    return [...this.answers.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Nobody comes any more; true once all have left. */
  leave(): boolean {
    this.#leaving = true;
    return this.#inside === 0;
  }

  #visit(): void {
    if (this.#leaving) return;
    this.#inside++;
    const socket = connect(where(this.#options.address));
    let got = "";
    let failure: string | undefined;
    socket.setEncoding("utf8");
    socket.on("connect", () => socket.write(this.#options.ask));
    socket.on("data", (text: string) => {
      got += text;
      if (got.endsWith("\n")) socket.end();
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      failure = error.code ?? error.message;
    });
    socket.on("close", () => {
      this.#inside--;
      if (failure === undefined && !got.endsWith("\n")) failure = "cut";
      if (failure === undefined) count(this.answers, got.trimEnd());
      else count(this.failures, failure);
      this.#visitAgain();
    });
  }

  #visitAgain(): void {
    const { perSecond } = this.#options;
    const nowMs = performance.now();
    if (perSecond !== undefined) this.#nextMs = Math.max(this.#nextMs + 1000 / perSecond, nowMs);
    if (this.#nextMs > nowMs) setTimeout(() => this.#visit(), this.#nextMs - nowMs);
    else setImmediate(() => this.#visit());
  }
}

function count(by: Map<string, number>, key: string): void {
  by.set(key, (by.get(key) ?? 0) + 1);
}

function where(address: Address): NetConnectOpts {
  if (address.family === "unix") return { path: address.path };
  return { host: address.host, port: address.port };
}
