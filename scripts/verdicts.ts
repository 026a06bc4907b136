// `node scripts/verdicts.ts [--repetitions N] [--runs N] [--only waits|computes] [--slower PERCENT]`: how often `sluice compare` is
// right about real servers. Three of them: two are the same, the third takes 10 % longer for a message, either waiting
// (an open loop, in which the times decide) or computing (a closed loop, in which messages/s decide). Each repetition puts the
// same load on all three, in turns, six times each, and asks `sluice compare` over the files: of six runs a side, and of the
// first one of each alone. What computes is also judged by the server's CPU time a message, which decides nothing in `sluice compare`
// but does not know of who else had the cores.
//
// Wrong is a difference between the two that are the same, and a slower one that is called faster, or firmly no different. Missed
// is "no difference shown": on a noisy machine that is the truth. Exits with 1 when more than one verdict in twenty on six runs
// was wrong.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { LoadOptions } from "../src/lab/load-plan.ts";
import { stepsPerUs } from "../src/lab/served/work.ts";
import { compared, comparedRuns } from "../test/support/compared-runs.ts";

const { values } = parseArgs({
  options: {
    repetitions: { type: "string", default: "20" },
    runs: { type: "string", default: "6" },
    only: { type: "string" },
    slower: { type: "string", default: "10" },
  },
});
const runs = Number(values.runs);
const factor = 1 + Number(values.slower) / 100;
const TIMES = { threads: 1, warmUpMs: 500, durationMs: 1000, coolDownMs: 50 };
const WAIT_MS = 20;
const COST_US = 200;
const MOST_WRONG = 0.05;
const steps = stepsPerUs();

interface Way {
  readonly name: string;
  readonly load: LoadOptions;
  environment(times: number): Readonly<Record<string, string>>;
}

const WAYS: readonly Way[] = [
  {
    name: "waits",
    load: { ...TIMES, connections: 50, rate: 500 },
    environment: (times) => ({ SLUICE_TEST_WAIT_MS: String(WAIT_MS * times) }),
  },
  {
    name: "computes",
    load: { ...TIMES, connections: 4 },
    environment: (times) => ({ SLUICE_TEST_STEPS: String(Math.round(COST_US * steps * times)) }),
  },
];

const counts = new Map<string, number>();
let wrong = 0;
let missed = 0;
let judged = 0;

for (const way of WAYS.filter(({ name }) => (values.only ?? name) === name)) {
  for (let repetition = 1; repetition <= Number(values.repetitions); repetition++) {
    console.log(`${way.name} ${repetition}: ${(await repeat(way)).join("; ")}`);
  }
}
for (const [what, count] of [...counts].sort())
  console.log(`${String(count).padStart(4)} × ${what}`);
console.log(`of ${judged} verdicts on ${runs} runs a side ${wrong} were wrong, ${missed} missed`);
process.exit(wrong <= judged * MOST_WRONG ? 0 : 1);

async function repeat(way: Way): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), "sluice-verdicts-"));
  try {
    const same = way.environment(1);
    const files = await comparedRuns({
      sides: [
        { name: "one", environment: same },
        { name: "same", environment: same },
        { name: "slower", environment: way.environment(factor) },
      ],
      ...{ runs, load: way.load, folder },
    });
    return [
      ...(await judge(way.name, files, true)),
      ...(await judge(
        way.name,
        files.map((side) => side.slice(0, 1)),
        false,
      )),
    ];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function judge(way: string, files: string[][], counted: boolean): Promise<string[]> {
  const { comparisons } = await compared(files);
  return comparisons.map(({ verdict, stages }, n) => {
    const shown = verdict !== "no difference shown";
    const right = !shown || verdict === (n === 0 ? "no difference" : "slower");
    if (counted) judged++;
    if (counted && !right) wrong++;
    if (counted && n > 0 && !shown) missed++;
    const what = `${way}, ${files[0]?.length} a side, ${n === 0 ? "the same" : "slower"}`;
    const figures = stages[0]?.figures ?? [];
    const cpu = figures.find(({ name }) => name === "server CPU a message" && way === "computes");
    for (const said of [
      verdict,
      ...(cpu === undefined ? [] : [`${cpu.verdict}, by its CPU time`]),
    ]) {
      counts.set(`${what}: ${said}`, (counts.get(`${what}: ${said}`) ?? 0) + 1);
    }
    const changes = figures
      .filter((figure) => figure.decides || figure === cpu)
      .map(({ ratio }) => `${((ratio.value - 1) * 100).toFixed(1)} %`);
    return `${n === 0 ? "same" : "slower"} ${verdict} (${changes.join(", ")})`;
  });
}
