// How many may do something at a time.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Turnstile } from "../../src/server/turnstile.ts";

test("who comes later waits until another one leaves, in order", async () => {
  const turnstile = new Turnstile(2);
  const entered: string[] = [];
  const enter = async (name: string) => {
    await turnstile.enter();
    entered.push(name);
  };
  const all = ["a", "b", "c", "d"].map(enter);
  await Promise.all(all.slice(0, 2));
  assert.deepEqual(entered, ["a", "b"]);
  turnstile.leave();
  await all[2];
  assert.deepEqual(entered, ["a", "b", "c"]);
  turnstile.leave();
  await all[3];
  turnstile.leave();
  turnstile.leave();
  await enter("e");
  await enter("f");
  const late = enter("g");
  await new Promise(setImmediate);
  assert.deepEqual(entered, ["a", "b", "c", "d", "e", "f"]);
  turnstile.leave();
  await late;
});
