// The map of all threads, in memory: each operation is whole, and takes its turn when it is told to.

import type { SharedMap } from "../../../src/handlers.ts";

export class MemoryMap<Value> implements SharedMap<Value> {
  readonly #entries = new Map<string, { readonly value: Value }>();
  readonly #turn: () => Promise<void>;

  /** `turn` resolves when the next operation may happen. */
  constructor(turn: () => Promise<void>) {
    this.#turn = turn;
  }

  async get(key: string): Promise<Value | undefined> {
    await this.#turn();
    return structuredClone(this.#entries.get(key)?.value);
  }

  async set(key: string, value: Value): Promise<void> {
    await this.#turn();
    this.#entries.set(key, { value: structuredClone(value) });
  }

  async delete(key: string): Promise<boolean> {
    await this.#turn();
    return this.#entries.delete(key);
  }

  async update(
    key: string,
    change: (value: Value | undefined) => Value | undefined,
  ): Promise<Value | undefined> {
    for (;;) {
      await this.#turn();
      const seen = this.#entries.get(key);
      const changed = change(structuredClone(seen?.value));
      const value = structuredClone(changed);
      await this.#turn();
      // Somebody else was faster.
      if (this.#entries.get(key) !== seen) continue;
      if (value === undefined) this.#entries.delete(key);
      else this.#entries.set(key, { value });
      return changed;
    }
  }
}
