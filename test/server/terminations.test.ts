// Who is told as stuck in a native call: a thread that does not end while no other one does either.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Terminations } from "../../src/server/terminations.ts";

/** A thread that ends when it is told to. */
function thread() {
  const { promise, resolve } = Promise.withResolvers<number>();
  return { terminate: () => promise, end: () => resolve(0) };
}

/** Until all that has been settled is known. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

test("many that end one after the other are not taken for stuck, however long it takes", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const terminations = new Terminations();
  const threads = Array.from({ length: 20 }, thread);
  const answers = threads.map((one) => terminations.terminate(one));
  for (const one of threads) {
    t.mock.timers.tick(1900);
    one.end();
    await settled();
  }
  assert.deepEqual(await Promise.all(answers), new Array(20).fill(true));
});

test("those that are left when none ends any more are given up", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const terminations = new Terminations();
  const [first, ...stuck] = [thread(), thread(), thread()];
  const answers = [first, ...stuck].map((one) => terminations.terminate(one));
  t.mock.timers.tick(1900);
  first.end();
  await settled();
  t.mock.timers.tick(2100);
  assert.deepEqual(await Promise.all(answers), [true, false, false]);
});
