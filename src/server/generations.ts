// The generations of a server's threads, and how one takes the place of another: a reload starts a second one beside the first,
// gives everything that comes in to it once it works, and lets the first one end.
//
// Invariant: there are two at the most; a further reload waits for the end of the oldest one.

/** So many are there at a time, at the most. */
export const GENERATIONS = 2;

/** Threads that were started together. */
export interface Threads {
  /** See Supervisor. */
  close(drainMs: number, graceMs: number): Promise<boolean>;
  /** Ends without draining. */
  abandon(): Promise<void>;
}

export interface Succession<Generation extends Threads> {
  make(): Generation;
  /** Starts as much of it as is needed to take over. @throws what keeps it from starting */
  start(coming: Generation, present: Generation): Promise<void>;
  /** The next one is the present one: this one gets no more. Resolves when that is so, with the promise of its end. */
  retire(past: Generation, coming: Generation): Promise<{ readonly ended: Promise<unknown> }>;
}

export class Generations<Generation extends Threads> {
  /** What takes what comes in now. */
  present: Generation;
  closing = false;
  /** What the last reload is replacing, until it has ended. */
  #past: Generation | undefined;
  #coming: Generation | undefined;
  #reloads: Promise<void> = Promise.resolve();

  constructor(first: Generation) {
    this.present = first;
  }

  /** Those that are there, the newest first. */
  get all(): readonly Generation[] {
    return this.#past === undefined ? [this.present] : [this.present, this.#past];
  }

  /** One after the other. When the new one cannot start the present one goes on, and it rejects with the reason. */
  replace(succession: Succession<Generation>, drainMs: number): Promise<void> {
    const replaced = this.#reloads.then(() => this.#replace(succession, drainMs));
    // Whether one succeeded is for its caller; the next one comes all the same.
    this.#reloads = replaced.catch(() => undefined);
    return replaced;
  }

  /** Drains all; true when all had finished in time. */
  async close(drainMs: number): Promise<boolean> {
    this.closing = true;
    void this.#coming?.abandon();
    const answers = await Promise.all(this.all.map((threads) => threads.close(drainMs, 0)));
    await this.#reloads;
    return answers.every((clean) => clean);
  }

  /** Ends all without draining. */
  async abandon(): Promise<void> {
    this.closing = true;
    await Promise.all(this.all.map((threads) => threads.abandon()));
  }

  async #replace({ make, start, retire }: Succession<Generation>, drainMs: number): Promise<void> {
    if (this.#past !== undefined) await this.#past.close(drainMs, 0);
    this.#assertOpen();
    const coming = make();
    this.#coming = coming;
    try {
      await start(coming, this.present);
      this.#assertOpen();
    } catch (error) {
      await coming.abandon();
      throw error;
    } finally {
      this.#coming = undefined;
    }
    const past = this.present;
    this.#past = past;
    this.present = coming;
    const { ended } = await retire(past, coming);
    void ended.then(() => {
      if (this.#past === past) this.#past = undefined;
    });
  }

  #assertOpen(): void {
    if (this.closing) throw new Error("the server is closing");
  }
}
