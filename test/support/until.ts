// Waiting for conditions instead of for times: a test goes on as soon as what it waits for is so.

import { setTimeout as sleep } from "node:timers/promises";

/** Far beyond what anything here takes, also on a machine that does ten other things. */
export const NEVER_MS = 20_000;

/** Resolves when `done` answers true. @throws Error that says what never happened */
export async function until(
  done: () => boolean,
  what: string | (() => string),
  withinMs = NEVER_MS,
): Promise<void> {
  const deadline = performance.now() + withinMs;
  for (let round = 0; !done(); round++) {
    if (performance.now() > deadline) {
      throw new Error(`this never happened: ${typeof what === "string" ? what : what()}`);
    }
    await sleep(round < 20 ? 1 : 5);
  }
}

/** Resolves with the first value of `read` that stays the same for `quietMs`. */
export async function settled(read: () => number, quietMs = 300): Promise<number> {
  let value = read();
  let since = performance.now();
  await until(() => {
    const now = read();
    if (now !== value) {
      value = now;
      since = performance.now();
    }
    return performance.now() - since > quietMs;
  }, "a value that stays the same");
  return value;
}

/** What the promise gives, or a failure that says what was waited for. */
export async function within<Value>(promise: Promise<Value>, what: string): Promise<Value> {
  const controller = new AbortController();
  const late = sleep(NEVER_MS, undefined, { signal: controller.signal }).then(
    () => {
      throw new Error(`this never happened: ${what}`);
    },
    () => new Promise<never>(() => undefined),
  );
  try {
    return await Promise.race([promise, late]);
  } finally {
    controller.abort();
  }
}
