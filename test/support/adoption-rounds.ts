// Kills the threads of a server of orphaned.ts again and again, while clients send lines at random, wait at random, and check
// every byte: of a connection that goes on no answer may be lost, doubled or wrong, and one that had been answered when its
// thread died, and had sent nothing since, must go on.

import { connect, type Socket } from "node:net";
import { Random } from "../../src/driver/random.ts";
import { pattern } from "./client.ts";
import { until } from "./until.ts";

const WAYS = ["throw", "throw at once", "exit", "loop later"] as const;

/** One client; it comes again when it is cut off in the middle of something. */
class Sender {
  /** What went wrong, in words. */
  readonly faults: string[];
  answers = 0;
  /** A line is on its way or being answered. */
  owed = "";
  readonly #port: number;
  readonly #random: Random;
  readonly #line: string;
  #socket: Socket;
  #got = "";
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(port: number, seed: number, faults: string[]) {
    this.#port = port;
    this.#random = new Random(seed);
    this.#line = pattern(2000, seed).toString("base64");
    this.faults = faults;
    this.#socket = this.#dial();
  }

  /** Has its thread killed; what comes back afterwards is no answer. */
  kill(way: string): void {
    clearTimeout(this.#timer);
    this.owed = way;
    this.#socket.write(`${way}\nnever\n`);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#socket.destroy();
  }

  #dial(): Socket {
    const socket = connect(this.#port, "127.0.0.1").setEncoding("latin1").setNoDelay(true);
    this.#got = "";
    this.owed = "";
    socket.on("connect", () => this.#rest());
    socket.on("data", (text: string) => this.#received(text));
    socket.on("end", () => socket.destroy());
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "ECONNRESET" && error.code !== "EPIPE") this.faults.push(`${error.code}`);
    });
    socket.on("close", () => this.#closed());
    return socket;
  }

  #rest(): void {
    this.#timer = setTimeout(() => this.#send(), this.#random.below(12));
  }

  /** Also in pieces, so that a death finds a part of a line. */
  #send(): void {
    const most = this.#line.length;
    const line =
      this.#random.below(3) === 0 ? "later" : this.#line.slice(0, 1 + this.#random.below(most));
    this.owed = `${line}\n`;
    const cut = this.#random.below(this.owed.length);
    const rest = this.owed.slice(cut);
    this.#socket.write(this.owed.slice(0, cut));
    setImmediate(() => this.#socket.write(rest));
  }

  #received(text: string): void {
    this.#got += text;
    if (!this.owed.startsWith(this.#got)) {
      this.faults.push(`${this.#got.length} bytes that are no answer to ${this.owed.slice(0, 20)}`);
    }
    if (this.#got.length < this.owed.length) return;
    this.#got = "";
    this.owed = "";
    this.answers++;
    this.#rest();
  }

  #closed(): void {
    clearTimeout(this.#timer);
    if (this.#stopped) return;
    this.answers = 0;
    this.#socket = this.#dial();
  }
}

export interface AdoptionRounds {
  readonly port: number;
  readonly clients: number;
  readonly deaths: number;
  /** How many threads have ended so far. */
  readonly ended: () => number;
}

/** What went wrong, in words: nothing. */
export async function adoptionRounds({
  port,
  clients,
  deaths,
  ended,
}: AdoptionRounds): Promise<string[]> {
  const faults: string[] = [];
  const senders = Array.from({ length: clients }, (_, n) => new Sender(port, n + 1, faults));
  try {
    for (let death = 0; death < deaths && faults.length === 0; death++) {
      await everybodyAnswered(senders, "answers before the death");
      const told = ended();
      const free = () => senders.find(({ owed }, n) => owed === "" && n % 2 === death % 2);
      await until(() => free() !== undefined, "one that is owed nothing");
      free()?.kill(WAYS[death % WAYS.length] ?? "exit");
      await until(() => ended() > told, "the end of a thread");
    }
    // Who has been adopted and is owed an answer that was lost would never get one.
    await everybodyAnswered(senders, "answers after the last death");
  } finally {
    for (const sender of senders) sender.stop();
  }
  return faults;
}

/** Each has had two answers more, on the connection that it has then. */
async function everybodyAnswered(senders: readonly Sender[], what: string): Promise<void> {
  const from = senders.map(({ answers }) => answers);
  await until(
    () => senders.every(({ answers }, n) => answers > 1 && answers !== from[n]),
    () => `${what}: ${senders.map(({ answers, owed }) => `${answers}${owed === "" ? "" : "*"}`)}`,
  );
}
