// An AbortSignal that also works in the middle of a computation: whenever it is asked it looks into shared memory, where the
// reactor writes at once; its `abort` event comes when the thread next hears messages.

export class ComputeSignal {
  readonly #controller = new AbortController();
  readonly #cancelled: Int32Array;
  readonly #slot: number;

  constructor(cancelled: Int32Array, slot: number) {
    this.#cancelled = cancelled;
    this.#slot = slot;
    const { signal } = this.#controller;
    Object.defineProperties(signal, {
      aborted: { get: () => this.isCancelled },
      throwIfAborted: {
        value: () => {
          if (this.isCancelled) throw signal.reason;
        },
      },
    });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get isCancelled(): boolean {
    if (Atomics.load(this.#cancelled, this.#slot) === 0) return false;
    this.#controller.abort();
    return true;
  }
}
