// When messages are due, on a clock of the test's own.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Random } from "../../src/driver/random.ts";
import { ClosedLoop } from "../../src/lab/closed-loop.ts";
import { CLOSED, CONNECTING, LoadConnection, OPEN } from "../../src/lab/load-connection.ts";
import { OpenLoop } from "../../src/lab/open-loop.ts";
import type { Paced } from "../../src/lab/pace.ts";
import { DUE, Recorder, recorderMemory } from "../../src/lab/recorder.ts";

/** Writes down what becomes due. */
class WrittenDown implements Paced {
  readonly connections: LoadConnection[];
  readonly recorder = new Recorder(recorderMemory());
  windowBeginMs = 0;
  windowEndMs = 1e9;
  outstanding = 0;
  readonly due: { readonly connection: number; readonly atMs: number }[] = [];
  readonly failed: string[] = [];

  constructor(count: number) {
    this.connections = Array.from({ length: count }, (_, n) => new LoadConnection(n, false, 1));
    for (const connection of this.connections) connection.state = OPEN;
  }

  get openCount(): number {
    return this.connections.filter(({ state }) => state === OPEN).length;
  }

  want(connection: LoadConnection, atMs: number, count = 1): void {
    for (let n = 0; n < count; n++) this.due.push({ connection: connection.index, atMs });
  }

  connect(): void {
    throw new Error("connections are there");
  }

  close(): void {
    throw new Error("nothing is closed");
  }

  fail(connection: LoadConnection, code: string): void {
    connection.state = 0;
    this.failed.push(code);
  }

  get times(): number[] {
    return this.due.map(({ atMs }) => Math.round(atMs * 1000) / 1000);
  }
}

function openLoop(generator: Paced, rate: number, random?: Random): OpenLoop {
  return new OpenLoop(generator, { rate, phase: 0, startMs: 100, random });
}

describe("open loop", () => {
  test("messages are due when they are, however late the thread comes", () => {
    const generator = new WrittenDown(3);
    const pace = openLoop(generator, 1000);
    assert.equal(pace.step(99), 0.7);
    pace.step(100);
    pace.step(103.5);
    assert.deepEqual(generator.times, [100, 101, 102, 103]);
    assert.deepEqual(
      generator.due.map(({ connection }) => connection),
      [0, 1, 2, 0],
    );
    // 0, 2.5, 1.5 and 0.5 ms late.
    assert.equal(generator.recorder.lateness.greatestNs, 2.5e6);
    assert.equal(generator.recorder.counters[DUE], 4);
  });

  test("a connection that takes the place of another one has its turn, one that is closed has none", () => {
    const generator = new WrittenDown(3);
    const [first, second, third] = generator.connections;
    assert.ok(first !== undefined && second !== undefined && third !== undefined);
    first.state = CLOSED;
    second.state = CONNECTING;
    second.replaces = true;
    third.state = CONNECTING;
    const pace = openLoop(generator, 1000);
    pace.step(101.5);
    pace.stop(103);
    assert.deepEqual(
      generator.due.map(({ connection }) => connection),
      [1, 1, 1, 1],
    );
    second.replaces = false;
    assert.equal(openLoop(generator, 1000).step(101.5), Number.POSITIVE_INFINITY);
    assert.equal(generator.due.length, 4);
  });

  test("what is due by the end still leaves, and nothing after it", () => {
    const generator = new WrittenDown(1);
    const pace = openLoop(generator, 1_000_000);
    pace.step(100);
    pace.stop(110);
    assert.equal(generator.due.length, 10_001);
    assert.equal(pace.step(200), Number.POSITIVE_INFINITY);
    assert.equal(generator.due.length, 10_001);
  });

  test("only what is due within the window counts", () => {
    const generator = new WrittenDown(1);
    generator.windowBeginMs = 105;
    generator.windowEndMs = 108;
    openLoop(generator, 1000).step(120);
    assert.equal(generator.due.length, 21);
    assert.equal(generator.recorder.counters[DUE], 3);
  });

  test("connections that are gone are passed over", () => {
    const generator = new WrittenDown(3);
    const pace = openLoop(generator, 1000);
    const [, second] = generator.connections;
    if (second !== undefined) second.state = 0;
    pace.step(103);
    assert.deepEqual(
      generator.due.map(({ connection }) => connection),
      [0, 2, 0, 2],
    );
    for (const connection of generator.connections) connection.state = 0;
    assert.equal(pace.step(110), Number.POSITIVE_INFINITY);
  });

  test("Poisson arrivals keep the rate, and have gaps of all lengths", () => {
    const generator = new WrittenDown(1);
    const pace = openLoop(generator, 1000, new Random(4));
    for (let ms = 100; ms <= 20_100; ms++) pace.step(ms);
    assert.ok(Math.abs(generator.due.length / 20_000 - 1) < 0.03, `${generator.due.length}`);
    const gaps = generator.due.slice(1).map(({ atMs }, n) => atMs - (generator.due[n]?.atMs ?? 0));
    const long = gaps.filter((gap) => gap > 1).length / gaps.length;
    assert.ok(Math.abs(long - Math.exp(-1)) < 0.02, `${long} of the gaps are above the mean`);
  });

  test("a target that is hopelessly behind is given up", () => {
    const generator = new WrittenDown(2);
    generator.outstanding = 2_000_001;
    openLoop(generator, 1000).step(101);
    assert.deepEqual(generator.failed, ["OVERRUN", "OVERRUN"]);
  });
});

test("closed loop: depth messages each, and one for each answer", () => {
  const generator = new WrittenDown(2);
  const pace = new ClosedLoop(generator, 3);
  pace.step(5);
  pace.step(6);
  assert.equal(generator.due.length, 6);
  const [first] = generator.connections;
  assert.ok(first);
  pace.answered(first, 2, 7);
  assert.deepEqual(generator.times.slice(6), [7, 7]);
  pace.stop();
  pace.answered(first, 1, 8);
  assert.equal(generator.due.length, 8);
});
