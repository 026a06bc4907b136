// The messages of one connection: a model that is a plain array knows what is out.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { LoadConnection } from "../../src/lab/load-connection.ts";

interface Message {
  readonly ordinal: number;
  readonly intendedMs: number;
  leftMs: number | undefined;
}

type Step =
  | { readonly kind: "due"; readonly count: number }
  | { readonly kind: "left"; readonly count: number }
  | { readonly kind: "answered"; readonly which: number }
  | { readonly kind: "together"; readonly most: number };

const STEPS = fc.array(
  fc.oneof(
    fc.integer({ min: 1, max: 5 }).map((count): Step => ({ kind: "due", count })),
    fc.integer({ min: 1, max: 5 }).map((count): Step => ({ kind: "left", count })),
    fc.nat(1000).map((which): Step => ({ kind: "answered", which })),
    fc.integer({ min: 1, max: 8 }).map((most): Step => ({ kind: "together", most })),
  ),
  { maxLength: 400 },
);

function assertSame(connection: LoadConnection, out: readonly Message[]): void {
  const sent = out.filter(({ leftMs }) => leftMs !== undefined);
  assert.equal(connection.outstanding, out.length);
  assert.equal(connection.inFlight, sent.length);
  assert.equal(connection.unsent, out.length - sent.length);
  const [oldest] = sent;
  if (oldest !== undefined) {
    assert.equal(connection.oldest, oldest.ordinal);
    assert.equal(connection.oldestLeftMs, oldest.leftMs);
  }
  for (const { ordinal, intendedMs, leftMs } of sent) {
    assert.ok(connection.isOut(ordinal));
    assert.deepEqual(
      [connection.intendedMs(ordinal), connection.leftMs(ordinal)],
      [intendedMs, leftMs],
    );
  }
}

/** What `oldestTogether` says, held against the model: those that left with the oldest; one at a time while there are holes. */
function oldestTogether(
  out: readonly Message[],
  answered: ReadonlySet<number>,
  connection: LoadConnection,
  most: number,
): readonly Message[] {
  const sent = out.filter(({ leftMs }) => leftMs !== undefined);
  const [oldest] = sent;
  if (oldest === undefined) {
    assert.equal(connection.oldestTogether(most), 0);
    return [];
  }
  const alike = (message: Message) =>
    message.intendedMs === oldest.intendedMs && message.leftMs === oldest.leftMs;
  const other = sent.findIndex((message) => !alike(message));
  const together = Math.min(other < 0 ? sent.length : other, most);
  const holes = [...answered].some((ordinal) => ordinal > oldest.ordinal);
  assert.equal(connection.oldestTogether(most), holes ? 1 : together);
  return sent.slice(0, holes ? 1 : together);
}

test("what is out, whatever the order of the answers", () => {
  fc.assert(
    fc.property(STEPS, fc.integer({ min: 1, max: 5 }), (steps, depth) => {
      const connection = new LoadConnection(0, false, depth);
      let out: Message[] = [];
      const done = new Set<number>();
      let due = 0;
      let clock = 0;
      for (const step of steps) {
        clock++;
        if (step.kind === "due") {
          connection.schedule(clock, step.count);
          for (let n = 0; n < step.count; n++) {
            out.push({ ordinal: due++, intendedMs: clock, leftMs: undefined });
          }
        } else if (step.kind === "left") {
          const waiting = out.filter(({ leftMs }) => leftMs === undefined).slice(0, step.count);
          connection.left(waiting.length, clock);
          for (const message of waiting) message.leftMs = clock;
        } else if (step.kind === "together") {
          const together = oldestTogether(out, done, connection, step.most);
          connection.answerOldest(together.length);
          for (const { ordinal } of together) done.add(ordinal);
          out = out.filter((message) => !together.includes(message));
        } else {
          const sent = out.filter(({ leftMs }) => leftMs !== undefined);
          const answered = sent[step.which % Math.max(sent.length, 1)];
          if (answered === undefined) continue;
          connection.answer(answered.ordinal);
          done.add(answered.ordinal);
          out = out.filter((message) => message !== answered);
          assert.equal(connection.isOut(answered.ordinal), false);
        }
        assertSame(connection, out);
      }
      connection.forget();
      assertSame(connection, []);
    }),
    { numRuns: 300, seed: 6 },
  );
});

test("ordinals are counted back from the last that left", () => {
  const connection = new LoadConnection(0, false, 4);
  for (let n = 0; n < 4; n++) connection.schedule(n);
  connection.left(3, 10);
  assert.equal(connection.ordinalBehind(0), 2);
  assert.equal(connection.intendedMs(connection.ordinalBehind(2)), 0);
  assert.equal(connection.isOut(connection.ordinalBehind(3)), false);
  assert.equal(connection.isOut(3), false);
});
