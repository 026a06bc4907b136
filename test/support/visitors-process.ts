// Visitors in a process of their own, so that whoever watches a server takes nothing from the rate at which they come.
//
// This file is both ends: DistantVisitors starts it as a program, which is told its visitors in an argument (JSON) and says
// again and again how their visits have ended, until it is told that nobody comes any more.

import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Visitors, type VisitorsOptions } from "./visitors.ts";

interface Visits {
  readonly answers: ReadonlyMap<string, number>;
  readonly failures: ReadonlyMap<string, number>;
  readonly over: boolean;
}

/** How often the program tells. */
const TOLD_EVERY_MS = 10;

export class DistantVisitors {
  readonly #child: ChildProcess;
  #leaving = false;
  #visits: Visits = { answers: new Map(), failures: new Map(), over: false };

  constructor(options: VisitorsOptions) {
    this.#child = fork(fileURLToPath(import.meta.url), [JSON.stringify(options)], {
      serialization: "advanced",
    });
    this.#child.on("message", (visits: Visits) => {
      this.#visits = visits;
    });
    process.once("exit", () => this.#child.kill("SIGKILL"));
  }

  /** Visits that ended well, by the answer. */
  get answers(): ReadonlyMap<string, number> {
    return this.#visits.answers;
  }

  /** Those that did not (see Visitors), and the end of the program before all had left. */
  get failures(): ReadonlyMap<string, number> {
    const { failures, over } = this.#visits;
    return over || !this.#isGone ? failures : new Map([...failures, ["the visitors' process", 1]]);
  }

  /** Visits that ended well. */
  get served(): number {
    return [...this.answers.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Nobody comes any more; true once all have left. */
  leave(): boolean {
    if (!this.#leaving && this.#child.connected) this.#child.send("leave");
    this.#leaving = true;
    return this.#visits.over || this.#isGone;
  }

  get #isGone(): boolean {
    const { exitCode, signalCode } = this.#child;
    return exitCode !== null || signalCode !== null;
  }
}

function visit(options: VisitorsOptions): void {
  const visitors = new Visitors(options);
  let leaving = false;
  process.on("message", () => {
    leaving = true;
  });
  process.on("disconnect", () => process.exit(1));
  const telling = setInterval(() => {
    const over = leaving && visitors.leave();
    process.send?.({ answers: visitors.answers, failures: visitors.failures, over });
    if (!over) return;
    clearInterval(telling);
    process.removeAllListeners("disconnect");
    process.disconnect?.();
  }, TOLD_EVERY_MS);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  visit(JSON.parse(process.argv[2] as string) as VisitorsOptions);
}
