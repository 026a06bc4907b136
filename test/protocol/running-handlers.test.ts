// Notifications under way beyond the bound: nothing is read, and yet nobody is taken for dead.

import assert from "node:assert/strict";
import { test } from "node:test";
import { GOAWAY } from "../../src/protocol/codes.ts";
import { TwoSessions } from "./two-sessions.ts";

const STREAMS = 2;
const KEEPALIVE_MS = 1000;

function pass(two: TwoSessions, intervals: number): void {
  for (let round = 0; round < intervals * 2; round++) {
    two.pass(KEEPALIVE_MS / 2);
    two.settle();
  }
}

test("who does not read because of notifications under way ends nobody for silence, and is heard of", () => {
  const two = new TwoSessions({ server: { keepaliveMs: KEEPALIVE_MS, streams: STREAMS } }).start();
  const { handlers } = two.server.session;
  for (let n = 0; n < STREAMS; n++) handlers.began("notification");
  assert.equal(two.server.paused, true);
  pass(two, 20);
  assert.deepEqual([two.server.ending, two.client.ending], [undefined, undefined]);
  handlers.settled("notification");
  assert.equal(two.server.paused, false);
  pass(two, 20);
  assert.deepEqual([two.server.ending, two.client.ending], [undefined, undefined]);
});

test("once it reads again, silence counts again", () => {
  const two = new TwoSessions({ server: { keepaliveMs: KEEPALIVE_MS, streams: STREAMS } }).start();
  const { handlers } = two.server.session;
  for (let n = 0; n < STREAMS; n++) handlers.began("notification");
  pass(two, 5);
  handlers.settled("notification");
  // Nothing of the client's arrives any more.
  two.server.paused = true;
  pass(two, 4);
  assert.equal(two.server.ending?.code, GOAWAY.KEEPALIVE);
});
