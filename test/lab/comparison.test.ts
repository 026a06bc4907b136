// Verdicts on noise that is known: what differs by 10 % is told from what does not, and nothing else is called a difference.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { Random } from "../../src/driver/random.ts";
import type { NamedResult } from "../../src/lab/comparable.ts";
import { type CompareOptions, compareResults, independent } from "../../src/lab/comparison.ts";
import { latencyFigures } from "../../src/lab/figures.ts";
import { LatencyHistogram } from "../../src/lab/latency-histogram.ts";
import {
  medianInterval,
  neighbourCorrelation,
  rankTest,
  ratioInterval,
} from "../../src/lab/rank-statistics.ts";
import { type LoadResult, type Mode, RESULT_SCHEMA, type Slice } from "../../src/lab/result.ts";
import { Child } from "../support/child.ts";

const SLICES = 40;
const SLICE_MS = 250;

/** How a made-up server does: all as factors of 1. */
interface Behaviour {
  readonly mode?: Mode;
  readonly rate?: number;
  readonly p50?: number;
  readonly p99?: number;
  /** Standard deviation of what changes from slice to slice. */
  readonly noise: number;
  /** How much of it a slice has from the one before, 0 to 1. */
  readonly memory?: number;
  readonly slices?: number;
}

/** Normal deviates (Box and Muller) in which each takes a part of the one before. */
function* noise(random: Random, deviation: number, memory: number): Generator<number> {
  let value = 0;
  const fresh = Math.sqrt(1 - memory ** 2);
  for (;;) {
    const radius = Math.sqrt(-2 * Math.log(1 - random.fraction()));
    value = memory * value + fresh * radius * Math.cos(2 * Math.PI * random.fraction());
    yield Math.exp(value * deviation);
  }
}

function slicesOf(seed: number, behaviour: Behaviour): Slice[] {
  const { rate = 1, p50 = 1, p99 = 1, memory = 0, slices = SLICES } = behaviour;
  const random = new Random(seed);
  const series = () => noise(random.fork(), behaviour.noise, memory);
  const [rates, medians, tails] = [series(), series(), series()];
  const next = (of: Generator<number>) => of.next().value as number;
  return Array.from({ length: slices }, (_, n) => ({
    fromMs: n * SLICE_MS,
    toMs: (n + 1) * SLICE_MS,
    messages: Math.round(25_000 * rate * next(rates)),
    errors: 0,
    p50: 100 * p50 * next(medians),
    p99: 900 * p99 * next(tails),
    p99_9: 1500,
    max: 3000,
    mean: 120,
    serverCpuMs: null,
    serverMemoryBytes: null,
    serverThreads: null,
  }));
}

function made(seed: number, behaviour: Behaviour, change: Partial<LoadResult> = {}): NamedResult {
  const { mode = "closed" } = behaviour;
  const slices = slicesOf(seed, behaviour);
  const none = latencyFigures(new LatencyHistogram());
  const result: LoadResult = {
    schema: RESULT_SCHEMA,
    sluice: "0.0.0",
    startedAt: "2026-01-01T00:00:00.000Z",
    arguments: [],
    machine: {
      cpu: "a",
      cores: 2,
      memoryBytes: 1,
      platform: "linux x64",
      kernel: "6.1",
      node: "v26.10.0",
    },
    plan: {
      target: "127.0.0.1:1",
      mode,
      workload: "echo",
      size: "64",
      connections: 50,
      idle: 0,
      depth: 1,
      rate: 0,
      arrivals: "",
      path: "",
      seed,
      threads: 1,
      driver: "epoll",
      verified: true,
      warmUpMs: 1000,
      durationMs: slices.length * SLICE_MS,
      coolDownMs: 0,
      timeoutMs: 5000,
    },
    stages: [
      {
        wantedRate: 0,
        seconds: (slices.length * SLICE_MS) / 1000,
        connections: 50,
        messages: 1,
        messagesPerSecond: 1,
        sentPerSecond: 0,
        bytesSentPerSecond: 0,
        bytesReceivedPerSecond: 0,
        response: none,
        service: none,
        connect: none,
        slices,
        errors: [],
        replaced: 0,
        generator: { threads: [], lateness: none, bottleneck: null },
        server: null,
      },
    ],
    serverStatistics: null,
    findMax: null,
    interrupted: false,
    ok: true,
    ...change,
  };
  return { name: `${seed}.json`, result };
}

/** How often each verdict is given over so many seeds. */
function verdicts(a: Behaviour, b: Behaviour, seeds: number, options: CompareOptions = {}) {
  const counts = { faster: 0, slower: 0, "no difference": 0, mixed: 0 };
  for (let seed = 0; seed < seeds; seed++) {
    const { verdict } = compareResults([made(seed, a)], [made(seed + 1000, b)], options);
    counts[verdict === "no difference shown" ? "no difference" : verdict]++;
  }
  return counts;
}

const SEEDS = 60;
const NOBODY = { faster: 0, slower: 0, "no difference": 0, mixed: 0 };

describe("verdicts", () => {
  for (const memory of [0, 0.6, 0.9]) {
    test(`1 % of noise is no difference, with memory ${memory}`, () => {
      const noisy = { noise: 0.01, memory };
      assert.deepEqual(verdicts(noisy, noisy, SEEDS), { ...NOBODY, "no difference": SEEDS });
    });
  }

  test("nor is one that is real and small", () => {
    const counts = verdicts({ noise: 0.005 }, { noise: 0.005, rate: 0.99 }, SEEDS);
    assert.deepEqual(counts, { ...NOBODY, "no difference": SEEDS });
    // It is asked for, and found.
    const asked = verdicts({ noise: 0.005 }, { noise: 0.005, rate: 0.98 }, SEEDS, { margin: 0.01 });
    assert.deepEqual(asked, { ...NOBODY, slower: SEEDS });
  });

  test("10 % less is slower, 10 % more is faster, in 3 % of noise", () => {
    const noisy = { noise: 0.03, memory: 0.3 };
    assert.deepEqual(verdicts(noisy, { ...noisy, rate: 0.9 }, SEEDS), { ...NOBODY, slower: SEEDS });
    assert.deepEqual(verdicts(noisy, { ...noisy, rate: 1.1 }, SEEDS), { ...NOBODY, faster: SEEDS });
  });

  test("strong noise is hardly ever called a difference", () => {
    const noisy = { noise: 0.15, memory: 0.5 };
    const counts = verdicts(noisy, noisy, 200);
    assert.ok(counts["no difference"] >= 196, JSON.stringify(counts));
  });

  test("in an open loop the times decide, and may contradict each other", () => {
    const open = { mode: "open", noise: 0.02 } as const;
    const all = (verdict: keyof typeof NOBODY) => ({ ...NOBODY, [verdict]: 20 });
    assert.deepEqual(verdicts(open, { ...open, p99: 1.1 }, 20), all("slower"));
    assert.deepEqual(verdicts(open, { ...open, p50: 0.9 }, 20), all("faster"));
    assert.deepEqual(verdicts(open, { ...open, p50: 0.9, p99: 1.2 }, 20), all("mixed"));
    assert.deepEqual(verdicts(open, { ...open, rate: 0.8 }, 20), all("no difference"));
  });

  test("one that is hidden by noise is not called none", () => {
    const noisy = { noise: 0.5, rate: 1 };
    const { verdict, stages } = compareResults([made(1, noisy)], [made(1001, noisy)]);
    assert.equal(stages[0]?.figures[0]?.precise, false);
    assert.equal(verdict, "no difference shown");
  });

  test("time in which nothing is answered counts", () => {
    const steady = (seed: number) => made(seed, { noise: 0.01 });
    /** As it, but every nth slice is a stall. */
    const stalling = (every: number) => (seed: number) => {
      const { name, result } = steady(seed);
      const stages = result.stages.map((stage) => ({
        ...stage,
        slices: stage.slices.map((slice, n) =>
          n % every === 1 ? { ...slice, messages: 0, p50: 0, p99: 0 } : slice,
        ),
      }));
      return { name, result: { ...result, stages } };
    };
    assert.equal(compareResults([steady(1)], [stalling(2)(2)]).verdict, "slower");
    const runs = (of: (seed: number) => NamedResult, from: number) =>
      [0, 1, 2, 3, 4, 5].map((n) => of(from + n));
    const { verdict, stages } = compareResults(runs(steady, 1), runs(stalling(3), 10));
    assert.equal(verdict, "slower");
    // 13 of 40 slices.
    const factor = stages[0]?.figures[0]?.ratio.value ?? 0;
    assert.ok(Math.abs(factor - 27 / 40) < 0.01, `${factor}`);
  });

  test("six runs a side are compared as runs", () => {
    // Runs differ by 10 % from each other, slices of one hardly: one run says nothing about the next.
    const side = (from: number) =>
      [0, 1, 2, 3, 4, 5].map((n) => made(from + n, { noise: 0.002, rate: 1 + n * 0.02 }));
    const { verdict, stages, remarks } = compareResults(side(0), side(100));
    assert.equal(verdict, "no difference shown");
    assert.deepEqual(stages[0]?.figures[0]?.samples, [6, 6]);
    assert.deepEqual(remarks, []);
    const slower = [0, 1, 2, 3, 4, 5].map((n) =>
      made(200 + n, { noise: 0.002, rate: 0.85 + n * 0.005 }),
    );
    assert.equal(compareResults(side(0), slower).verdict, "slower");
  });
});

describe("what is not comparable is refused, and why", () => {
  const noisy = { noise: 0.01 };
  const one = made(1, noisy);
  const { plan, machine, stages } = one.result;
  const [stage] = stages;
  assert.ok(stage);
  const error = { code: "ECONNRESET", count: 3, text: "" };
  const cases: readonly (readonly [change: Partial<LoadResult>, says: RegExp])[] = [
    [{ plan: { ...plan, depth: 2 } }, /depth differs: 1 in 1\.json, 2 in 2\.json/],
    [{ plan: { ...plan, workload: "lines" } }, /workload differs/],
    [{ plan: { ...plan, size: "65" } }, /size differs/],
    [{ machine: { ...machine, kernel: "6.2" } }, /the machine's kernel differs: 6\.1 in/],
    [{ schema: "sluice-load/9" as typeof RESULT_SCHEMA }, /2\.json is no sluice-load\/1, but "slu/],
    [{ interrupted: true }, /2\.json was interrupted/],
    [{ stages: [{ ...stage, errors: [error] }] }, /2\.json has errors \(3 × ECONNRESET\)/],
    [{ stages: [{ ...stage, wantedRate: 5 }] }, /the rates differs: 0 in 1\.json, 5 in 2\.json/],
    [{ findMax: { condition: "", rate: 1, failedRate: 2, why: "" } }, /2\.json is a search/],
  ];
  for (const [change, says] of cases) {
    test(String(says), () => {
      assert.throws(() => compareResults([one], [made(2, noisy, change)]), {
        name: "OptionError",
        message: says,
      });
    });
  }

  test("too little", () => {
    const short = { ...noisy, slices: 5 };
    assert.throws(() => compareResults([made(1, short)], [made(2, short)]), /too few slices/);
  });

  test("another seed, target and length are no reason", () => {
    const other = { ...plan, seed: 9, target: "10.0.0.1:5", durationMs: 1 };
    compareResults([one], [made(2, noisy, { plan: other })]);
  });
});

describe("the statistics", () => {
  const range = (from: number) => Array.from({ length: 10 }, (_, n) => from + n);

  test("the rank test's p is that of the tables, ties and all", () => {
    // As scipy.stats.mannwhitneyu has it, without its correction for continuity.
    const { pValue, cliffsDelta } = rankTest(range(1), range(3));
    assert.ok(Math.abs(pValue - 0.1723) < 0.001, `${pValue}`);
    assert.ok(Math.abs(cliffsDelta - 0.36) < 1e-9, `${cliffsDelta}`);
    assert.ok(rankTest(range(1), range(100)).pValue < 0.001);
    assert.equal(rankTest(range(1), range(100)).cliffsDelta, 1);
  });

  test("of few values it is exact", () => {
    const p = (a: readonly number[], b: readonly number[]) => rankTest(a, b).pValue;
    const near = (value: number, wanted: number) =>
      assert.ok(Math.abs(value - wanted) < 1e-9, `${value}`);
    // 12 values have 924 orders; 1, 1, 2 of them have 0, 1, 2 pairs the wrong way round.
    near(p([1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]), 2 / 924);
    near(p([1, 2, 3, 4, 5, 7], [6, 8, 9, 10, 11, 12]), 4 / 924);
    near(p([6, 8, 9, 10, 11, 12], [1, 2, 3, 4, 5, 7]), 4 / 924);
    near(p([1, 2, 3, 4, 5, 8], [6, 7, 9, 10, 11, 12]), 8 / 924);
    near(p([1, 4, 5, 8], [2, 3, 6, 7]), 1);
    near(p([1, 2, 3], [4, 5, 6, 7]), 2 / 35);
    // Equal ones have no order of their own: the approximation.
    assert.ok(p([1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]) > 0.9);
  });

  test("a median lies in its interval, and the interval in the sample", () => {
    const { value, lower, upper } = medianInterval([5, 1, 4, 2, 3, 9, 8, 7, 6], 0.9);
    assert.ok(Math.abs(value - 5) < 0.001);
    assert.ok(lower >= 1 && lower < 5 && upper > 5 && upper <= 9.001, `${lower} ${upper}`);
  });

  test("a factor's interval holds the factor, 99 times of 100", () => {
    let held = 0;
    for (let seed = 0; seed < 300; seed++) {
      const random = new Random(seed);
      const draw = (factor: number) => {
        const series = noise(random.fork(), 0.1, 0);
        return Array.from({ length: 20 }, () => factor * (series.next().value as number));
      };
      const { lower, upper } = ratioInterval(draw(1), draw(1.3), 2.5758);
      if (lower <= 1.3 && 1.3 <= upper) held++;
    }
    assert.ok(held >= 290 && held < 300, `${held} of 300`);
  });

  test("what is alike is put together until it is not", () => {
    const values = (memory: number) => {
      const series = noise(new Random(3), 0.1, memory);
      return Array.from({ length: 400 }, () => series.next().value as number);
    };
    assert.ok(neighbourCorrelation(values(0.9)) > 0.8);
    assert.ok(Math.abs(neighbourCorrelation(values(0))) < 0.15);
    assert.equal(independent(values(0)).length, 400);
    const put = independent(values(0.9));
    assert.ok(put.length <= 100 && neighbourCorrelation(put) < 0.15, `${put.length}`);
  });
});

test("sluice compare: the verdict, and exit codes", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-compare-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const write = (name: string, seed: number, rate: number) => {
    const path = join(folder, name);
    writeFileSync(path, JSON.stringify(made(seed, { noise: 0.01, rate }).result));
    return path;
  };
  const [a, b, c] = [write("a.json", 1, 1), write("b.json", 2, 1), write("c.json", 3, 0.9)];
  const same = Child.cli(t, "compare", a, b);
  const slower = Child.cli(t, "compare", a, b, c);
  const wrong = Child.cli(t, "compare", a, join(folder, "../x.json"));
  const alone = Child.cli(t, "compare", a);
  assert.equal((await same.exit()).code, 0, same.story());
  assert.match(same.stdout, /^b\.json against a\.json: NO DIFFERENCE\n {2}messages\/s +\d/);
  assert.equal((await slower.exit()).code, 1, slower.story());
  assert.match(slower.stdout, /^c\.json against a\.json: SLOWER\n.*-\d+\.\d %.*: slower$/m);
  assert.equal((await wrong.exit()).code, 1, wrong.story());
  assert.match(wrong.stderr, /^sluice: there is no file .*x\.json\n$/);
  assert.equal((await alone.exit()).code, 2, alone.story());
  assert.match(alone.stderr, /^sluice: compare takes at least two files/);
});
