// The map of all threads, in memory: each operation is whole, and takes its turn when it is told to. There is one thread.

import type { SharedMap, Tenure } from "../../../src/handlers.ts";

interface Entry<Value> {
  readonly value: Value;
  readonly untilMs: number;
}

export class MemoryMap<Value> implements SharedMap<Value> {
  readonly #entries = new Map<string, Entry<Value>>();
  readonly #turn: () => Promise<void>;

  /** `turn` resolves when the next operation may happen. */
  constructor(turn: () => Promise<void>) {
    this.#turn = turn;
  }

  async get(key: string): Promise<Value | undefined> {
    await this.#turn();
    return structuredClone(this.#present(key)?.value);
  }

  async set(key: string, value: Value, tenure?: Tenure): Promise<void> {
    await this.#turn();
    this.#put(key, value, tenure);
  }

  async add(key: string, value: Value, tenure?: Tenure): Promise<Value | undefined> {
    await this.#turn();
    const there = this.#present(key);
    if (there === undefined) this.#put(key, value, tenure);
    return structuredClone(there?.value);
  }

  async delete(key: string): Promise<boolean> {
    await this.#turn();
    return this.#present(key) !== undefined && this.#entries.delete(key);
  }

  async update(
    key: string,
    change: (value: Value | undefined) => Value | undefined,
    tenure?: Tenure,
  ): Promise<Value | undefined> {
    for (;;) {
      await this.#turn();
      const seen = this.#present(key);
      const changed = change(structuredClone(seen?.value));
      const value = structuredClone(changed);
      await this.#turn();
      // Somebody else was faster.
      if (this.#present(key) !== seen) continue;
      if (value === undefined) this.#entries.delete(key);
      else this.#put(key, value, tenure);
      return changed;
    }
  }

  #put(key: string, value: Value, { keepMs = 0 }: Tenure = {}): void {
    const untilMs = keepMs > 0 ? performance.now() + keepMs : Number.POSITIVE_INFINITY;
    this.#entries.set(key, { value: structuredClone(value), untilMs });
  }

  #present(key: string): Entry<Value> | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.untilMs > performance.now()) return entry;
    this.#entries.delete(key);
    return undefined;
  }
}
