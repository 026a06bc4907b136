// What the two ends of a hop do, whatever carries the messages: a flood one way, which the taking end times; then one
// message at a time, there and back, which the sending end times.

export interface HopPlan {
  readonly sends: boolean;
  /** Of the flood. */
  readonly messages: number;
  readonly roundTrips: number;
}

/** What both ends together find. */
export interface HopFigures {
  readonly messagesPerSecond?: number;
  readonly p50Us?: number;
  readonly p99Us?: number;
}

export class HopEnd {
  readonly #plan: HopPlan;
  readonly #tell: (figures: HopFigures) => void;
  readonly #us: Float64Array;
  #received = 0;
  #since = 0;

  constructor(plan: HopPlan, tell: (figures: HopFigures) => void) {
    this.#plan = plan;
    this.#tell = tell;
    this.#us = new Float64Array(plan.roundTrips);
  }

  /** A message has come; true when one is to be sent in return. */
  came(): boolean {
    this.#received++;
    return this.#plan.sends ? this.#answered() : this.#taken();
  }

  /** Nothing more will come. */
  get isOver(): boolean {
    const { sends, messages, roundTrips } = this.#plan;
    return this.#received === (sends ? roundTrips : messages + roundTrips - 1);
  }

  #taken(): boolean {
    const { messages } = this.#plan;
    const now = performance.now();
    if (this.#received === 1) this.#since = now;
    if (this.#received === messages) {
      this.#tell({ messagesPerSecond: (messages / (now - this.#since)) * 1000 });
    }
    return this.#received >= messages;
  }

  /** The first answer is to the flood's last message: its time is nobody's. */
  #answered(): boolean {
    const now = performance.now();
    this.#us[this.#received - 1] = (now - this.#since) * 1000;
    this.#since = now;
    if (!this.isOver) return true;
    const sorted = this.#us.subarray(1).toSorted();
    const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))] ?? 0;
    this.#tell({ p50Us: at(0.5), p99Us: at(0.99) });
    return false;
  }
}
