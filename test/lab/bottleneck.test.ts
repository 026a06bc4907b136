// Who set the pace: told from the figures of both sides.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type BottleneckEvidence, bottleneckOf } from "../../src/lab/bottleneck.ts";
import { latencyFigures } from "../../src/lab/figures.ts";
import { LatencyHistogram } from "../../src/lab/latency-histogram.ts";
import type { ServerFigures } from "../../src/lab/result.ts";

function always(us: number) {
  const histogram = new LatencyHistogram();
  for (let n = 0; n < 100; n++) histogram.record(us * 1000);
  return latencyFigures(histogram);
}

function server(cpuMs: number): ServerFigures {
  const thread = { id: 1, name: "", cpuMs, keptWaitingMs: 0 };
  const switches = { voluntarySwitches: 0, involuntarySwitches: 0 };
  return {
    processes: [
      {
        pid: 1,
        command: "",
        memoryBytes: 0,
        descriptors: 0,
        threads: [{ ...thread, ...switches }],
      },
    ],
    cpuMs,
    busy: cpuMs / 1000,
    cpuUsPerMessage: 1,
    memoryBytes: 0,
    peakMemoryBytes: 0,
    threads: 1,
    descriptors: 0,
    ...switches,
  };
}

const EVIDENCE: BottleneckEvidence = {
  mode: "closed",
  windowMs: 1000,
  threads: [{ cpuMs: 400, keptWaitingMs: 0, busy: 0.4 }],
  server: server(990),
  lateness: always(0),
  response: always(1000),
};
const FULL = [{ cpuMs: 900, keptWaitingMs: 90, busy: 0.9 }];

test("a closed loop: whose thread never had to wait", () => {
  assert.equal(bottleneckOf(EVIDENCE), null);
  assert.equal(bottleneckOf({ ...EVIDENCE, threads: FULL }), null, "the server is full as well");
  const spare = { ...EVIDENCE, threads: FULL, server: server(500) };
  assert.match(bottleneckOf(spare) ?? "", /busy 99 % .* while the target had time to spare/);
  const elsewhere = { ...EVIDENCE, threads: FULL, server: null };
  assert.match(bottleneckOf(elsewhere) ?? "", /the target may have time to spare/);
});

test("an open loop: who is late, and why", () => {
  const open = { ...EVIDENCE, mode: "open" } as const;
  assert.equal(bottleneckOf({ ...open, threads: FULL }), null, "it spins: its CPU says nothing");
  assert.equal(bottleneckOf({ ...open, lateness: always(150) }), null, "a little is the clock's");
  const slow = { ...open, lateness: always(500), response: always(50_000) };
  assert.equal(bottleneckOf(slow), null, "it is nothing beside the target's own time");
  const late = bottleneckOf({ ...open, lateness: always(500) }) ?? "";
  assert.match(late, /500 µs \(p99\) behind their schedule.*; use more threads or a lower rate$/);
  const disturbed = bottleneckOf({ ...open, lateness: always(500), threads: FULL }) ?? "";
  assert.match(disturbed, /; others had its core for 9 % of the time$/);
});

test("idle connections have no pace", () => {
  const idle = { ...EVIDENCE, mode: "idle", threads: FULL, server: null } as const;
  assert.equal(bottleneckOf(idle), null);
});

test("nobody was late where nothing was answered", () => {
  const response = latencyFigures(new LatencyHistogram());
  const silent = { ...EVIDENCE, mode: "open", lateness: always(5000), response } as const;
  assert.equal(bottleneckOf(silent), null);
});
