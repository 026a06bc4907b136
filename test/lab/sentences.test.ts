// What the report says about figures: only what their intervals allow.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Interval } from "../../src/lab/rank-statistics.ts";
import { MEMORY, P99, THROUGHPUT } from "../../src/lab/report/figure.ts";
import type { Grid } from "../../src/lab/report/grid.ts";
import { alike, sentences } from "../../src/lab/report/sentences.ts";

const at = (x: number) => `${x} connections`;
const around = (value: number, share = 0.01): Interval => ({
  value,
  lower: value * (1 - share),
  upper: value * (1 + share),
});

function grid(figure: Grid["figure"], xs: number[], rows: Record<string, Interval[]>): Grid {
  return {
    figure,
    xs,
    rows: Object.entries(rows).map(([contender, cells], place) => ({ contender, place, cells })),
  };
}

describe("sentences", () => {
  test("who is best, who follows, who is last, and by how much", () => {
    const rows = { a: [around(30_000)], b: [around(60_000)], c: [around(15_000)] };
    assert.deepEqual(sentences(grid(THROUGHPUT, [8], rows), { at }), [
      "At 8 connections b answers most: 60,000/s, between 59,400/s and 60,600/s. A follows with 30,000/s, 2.00 times less. Last is c with 15,000/s, 4.00 times less.",
    ]);
  });

  test("less is better where it is a cost", () => {
    const rows = { a: [around(1000)], b: [around(1500)] };
    assert.deepEqual(sentences(grid(P99, [8], rows), { at }), [
      "At 8 connections a has the shortest p99: 1.00 ms, between 990 µs and 1.01 ms. B has 1.50 ms, 50 % more.",
    ]);
  });

  test("intervals that overlap are no difference", () => {
    const rows = { a: [around(100, 0.1)], b: [around(115, 0.1)], c: [around(500, 0.1)] };
    const [first] = sentences(grid(THROUGHPUT, [8], rows), { at });
    assert.match(first ?? "", /^At 8 connections c answers most/);
    const equal = { a: rows.a, b: rows.b };
    assert.deepEqual(sentences(grid(THROUGHPUT, [8], equal), { at }), [
      "At 8 connections: no difference in messages/s between b and a (100/s to 115/s).",
    ]);
  });

  test("one run alone says less than several", () => {
    const only = (value: number) => ({ value, lower: value, upper: value });
    assert.equal(alike(only(100), only(108)), true);
    assert.equal(alike(only(100), only(112)), false);
    assert.equal(alike(around(100, 0.001), around(108, 0.001)), false);
    assert.equal(alike(around(100, 0.001), around(102, 0.001)), true);
  });

  test("the knee, what is lost behind it, and who leads before it", () => {
    const rows = {
      flat: [around(100), around(105), around(104), around(103)],
      falls: [around(50), around(200), around(190), around(100)],
      grows: [around(10), around(40), around(160), around(640)],
    };
    const said = sentences(grid(THROUGHPUT, [1, 4, 16, 64], rows), { at }).join(" ");
    assert.match(said, /^At 64 connections grows answers most: 640\/s/);
    assert.match(
      said,
      /At 1 connections it is flat that answers most: 100\/s, grows has 10\/s there/,
    );
    assert.match(said, /is at 1 connections for flat; 4 connections for falls\. Grows still gains/);
    assert.match(said, /Falls loses 50 % again from its best \(200\/s\) to the end \(100\/s\)/);
  });

  test("how a cost grows", () => {
    const rows = {
      a: [around(2 ** 20), around(2 ** 23)],
      b: [around(2 ** 20), around(2 ** 20 * 1.001)],
    };
    const said = sentences(grid(MEMORY, [1, 64], rows), { at }).join(" ");
    assert.match(
      said,
      /It grows most for a \(1\.00 MiB at 1 connections, 8\.00 MiB at 64 connections: 8\.00 times\), least for b \(.*: no difference\)/,
    );
  });

  test("what falls is not said to grow", () => {
    const rows = { a: [around(2 ** 20), around(2 ** 23)], b: [around(2 ** 23), around(2 ** 20)] };
    const said = sentences(grid(MEMORY, [1, 64], rows), { at }).join(" ");
    assert.match(said, /It grows most for a \(.*8\.00 times\), and falls for b \(.*: −88 %\)\.$/);
    const alone = sentences(grid(MEMORY, [1, 64], { b: rows.b }), { at }).join(" ");
    assert.match(alone, /^B at 64 connections: 1\.00 MiB, .* It falls for b \(/);
  });

  test("nobody of several zeros is last, and equal ones are no range", () => {
    const dead = { a: [around(100)], b: [around(0)], c: [around(0)] };
    const [first] = sentences(grid(THROUGHPUT, [8], dead), { at });
    assert.match(first ?? "", /a answers most: 100\/s.*\. B and c have 0\/s\.$/);
    const [same] = sentences(grid(THROUGHPUT, [8], { b: dead.b, c: dead.c }), { at });
    assert.match(same ?? "", /between b and c \(0\/s each\)\.$/);
  });

  test("a burden has no knee", () => {
    const rows = { flat: [around(100), around(101), around(100)] };
    const about = { at, burden: true };
    assert.doesNotMatch(sentences(grid(THROUGHPUT, [0, 1, 2], rows), about).join(" "), /knee/);
    assert.match(sentences(grid(THROUGHPUT, [0, 1, 2], rows), { at }).join(" "), /knee/);
    const lost = { a: [around(100), around(50)], b: [around(100), around(0)] };
    assert.match(
      sentences(grid(THROUGHPUT, [0, 1], lost), about).join(" "),
      /All fall, least for a \(.*: −50 %\), most for b \(.*: −100 %\)\.$/,
    );
  });

  test("nothing measured is said to be so", () => {
    assert.deepEqual(sentences(grid(MEMORY, [], {}), { at }), ["Nothing was measured here."]);
  });
});
