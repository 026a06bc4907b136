// Plans: defaults, what threads get of them, and what contradicts itself.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type LoadOptions, planLoad, shareOfPlan } from "../../src/lab/load-plan.ts";
import { resolveTarget } from "../../src/lab/target.ts";

const ADDRESS = { family: "ipv4", host: "127.0.0.1", port: 1 } as const;

function plan(options: LoadOptions) {
  return planLoad(ADDRESS, { driver: "portable", ...options });
}

test("the shares of all threads are the plan, and each has somebody to talk to", () => {
  const numbers = fc.record({
    connections: fc.integer({ min: 1, max: 300 }),
    idle: fc.integer({ min: 0, max: 300 }),
    threads: fc.integer({ min: 1, max: 20 }),
    rate: fc.double({ min: 1, max: 1e6, noNaN: true }),
  });
  fc.assert(
    fc.property(numbers, (options) => {
      const whole = plan(options);
      const shares = Array.from({ length: whole.threads }, (_, n) => shareOfPlan(whole, n));
      const sum = (of: (share: typeof whole) => number) => shares.reduce((t, s) => t + of(s), 0);
      assert.ok(whole.threads <= options.threads);
      assert.equal(
        sum((share) => share.connections),
        options.connections,
      );
      assert.equal(
        sum((share) => share.idle),
        options.idle,
      );
      assert.ok(Math.abs(sum((share) => share.rate) / options.rate - 1) < 1e-9);
      assert.ok(shares.every(({ connections }) => connections > 0));
    }),
    { seed: 1 },
  );
});

test("the mode follows from what is given", () => {
  assert.deepEqual([plan({}).mode, plan({}).connections, plan({}).depth], ["closed", 50, 1]);
  assert.deepEqual([plan({ rate: 5 }).mode, plan({ rate: 5 }).depth], ["open", 0]);
  assert.equal(plan({ mode: "idle", idle: 3 }).connections, 0);
  assert.equal(plan({ workload: "resp" }).size, "64");
  assert.equal(plan({ workload: "http" }).size, "");
});

describe("contradictions and values out of bounds are refused", () => {
  const wrong: readonly (readonly [LoadOptions, RegExp])[] = [
    [{ mode: "open" }, /an open loop needs a rate/],
    [{ mode: "churn", rate: 5 }, /exclude each other/],
    [{ mode: "idle" }, /idle connections alone/],
    [{ mode: "idle", idle: 1, connections: 1 }, /idle connections alone/],
    [{ rate: 1, depth: 4 }, /depth is for closed loops/],
    [{ rate: -1 }, /rate is from/],
    [{ rate: Number.NaN }, /rate is from/],
    [{ connections: 1.5 }, /connections is an integer/],
    [{ durationMs: 1 }, /duration is from 10/],
    [{ timeoutMs: 0 }, /timeout is from 1/],
    [{ path: "no slash" }, /a path begins with/],
    [{ seed: -1 }, /seed is an integer/],
    [{ connections: 999_999 }, /more descriptors than this process may have/],
  ];
  for (const [options, says] of wrong) {
    const skip = options.connections === 999_999 && process.platform !== "linux";
    test(String(says) + JSON.stringify(options), { skip }, () => {
      assert.throws(() => plan(options), { name: "OptionError", message: says });
    });
  }
});

test("targets, as people write them", async () => {
  for (const [text, address] of [
    ["10.0.0.1:80", { family: "ipv4", host: "10.0.0.1", port: 80 }],
    ["7000", { family: "ipv4", host: "127.0.0.1", port: 7000 }],
    [":7000", { family: "ipv4", host: "127.0.0.1", port: 7000 }],
    ["[::1]:7000", { family: "ipv6", host: "::1", port: 7000 }],
    ["[fe80::1%lo]:7000", { family: "ipv6", host: "fe80::1%lo", port: 7000 }],
    ["unix:/run/x.sock", { family: "unix", path: "/run/x.sock" }],
    ["unix:@name", { family: "unix", path: "\0name" }],
  ] as const) {
    assert.deepEqual(await resolveTarget(text), address);
  }
  const found = await resolveTarget("localhost:1");
  assert.ok(found.family !== "unix" && ["127.0.0.1", "::1"].includes(found.host));
  for (const text of ["", "host", "host:", "host:70000", "::1:7000", "a b:1x", "1.2.3.4:80:80"]) {
    await assert.rejects(resolveTarget(text), /is no endpoint: HOST:PORT, /, text);
  }
});
