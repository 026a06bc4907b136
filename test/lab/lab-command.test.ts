// `sluice lab` as people run it, but for its page: what it leaves, how it ends, and what it refuses.

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { UsageError } from "../../src/cli/command.ts";
import { labCommand } from "../../src/cli/lab-command.ts";
import { CHOICES } from "../../src/driver/choices.ts";
import { givenServer } from "../../src/lab/contender.ts";
import { runRace } from "../../src/lab/experiments/race.ts";
import type { RaceKind } from "../../src/lab/experiments/race-worker.ts";
import type { LabResult } from "../../src/lab/lab-result.ts";
import { commandOf } from "../../src/lab/proc.ts";
import { runLab } from "../../src/lab/run-lab.ts";
import { OptionError } from "../../src/limits.ts";
import { MODELS } from "../../src/server/options.ts";
import { Child, CLI } from "../support/child.ts";
import { until } from "../support/until.ts";

/** Several servers are started, from the sources, on a machine that may do other things too. */
const LONG_MS = 120_000;
const SHORT = ["--quick", "--connections", "1", "--rounds", "2", "--duration", "100ms"];

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "sluice-lab-"));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

/** Processes with these words on their command line, but for the lab that was told them in one word. */
function marked(words: string): number {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const found = pids.map((pid) => commandOf(Number(pid))).filter((line) => line.includes(words));
  return found.filter((line) => !line.includes("--server")).length;
}

async function ended(lab: Child) {
  await until(
    () => lab.ended !== undefined,
    () => `the end of the lab: ${lab.story()}`,
    LONG_MS,
  );
  return lab.exit();
}

describe("sluice lab", { concurrency: 3 }, () => {
  test("says first how many runs it makes, and makes so many", async (t) => {
    const path = folder(t);
    const files = ["--out", join(path, "lab.html"), "--json", join(path, "lab.json")];
    const args = ["models", "too-many-threads", "--model", "event-loop", "--driver", "portable"];
    const lab = Child.cli(t, "lab", ...args, ...SHORT, "--connections", "1,2", ...files);
    assert.deepEqual(await ended(lab), { code: 0, signal: null }, lab.story());
    const result: LabResult = JSON.parse(readFileSync(join(path, "lab.json"), "utf8"));
    const runs = result.experiments.flatMap((experiment) => experiment.runs).length;
    const [first = ""] = lab.stderrLines;
    assert.match(first, new RegExp(`^models, too-many-threads in 2 rounds: ${runs} runs, about `));
  });

  test("rounds are interleaved, a server of one's own takes part, one that fails is named", async (t) => {
    const path = folder(t);
    const json = join(path, "lab.json");
    const own = `own=${process.execPath} ${CLI} serve --port {port} --model event-loop`;
    const broken = `broken=${process.execPath} -e process.exit(3) {port}`;
    const servers = ["--server", own, "--server", broken];
    const files = ["--out", join(path, "lab.html"), "--json", json];
    const args = ["models", "--model", "event-loop", ...SHORT, "--warm-up", "10ms"];
    const lab = Child.cli(t, "lab", ...args, ...servers, ...files);
    assert.deepEqual(await ended(lab), { code: 0, signal: null }, lab.story());
    const result: LabResult = JSON.parse(readFileSync(json, "utf8"));
    const [experiment] = result.experiments;
    assert.ok(experiment !== undefined);
    const turns = experiment.runs.map(
      ({ contender, round }) => `${contender.split(" ")[0]} ${round}`,
    );
    assert.deepEqual(turns, ["event-loop 1", "own 1", "own 2", "event-loop 2"]);
    for (const { load } of experiment.runs) {
      const [stage] = load?.stages ?? [];
      assert.ok(stage !== undefined && stage.errors.length === 0);
      if (existsSync("/proc/self/stat")) assert.ok((stage.server?.memoryBytes ?? 0) > 2 ** 20);
    }
    const [missing, ...others] = experiment.missing;
    assert.equal(missing?.contender, "broken");
    assert.match(missing?.reason ?? "", /could not be started: it ended with 3/);
    assert.deepEqual(others, []);
    assert.match(readFileSync(join(path, "lab.html"), "utf8"), /Left out: 1/);
    // Ours are asked for statistics; they count the warm-up too.
    for (const round of [1, 2]) {
      const run = experiment.runs.find(
        (one) => one.round === round && one.contender.startsWith("event-loop"),
      );
      const said = experiment.ownStatistics.find((own) => own.round === round);
      assert.equal(said?.contender, run?.contender);
      const measured = run?.load?.stages[0]?.messages ?? Number.POSITIVE_INFINITY;
      assert.ok((said?.statistics.messages ?? 0) >= measured, JSON.stringify(said));
    }
  });

  test("what is late is left out and named, and so is a server where none can take part", async () => {
    const job = {
      experiments: ["models", "race"],
      settings: {
        ...{ quick: true, rounds: 1, durationMs: 10, warmUpMs: 0, seed: 1, threads: undefined },
        ...{ connections: undefined, costsUs: undefined, repeatUntilMs: 0, beginUntilMs: 0 },
        servers: [givenServer("own=nothing {port}")],
      },
      choice: { models: MODELS, drivers: CHOICES, bestDriver: true },
      arguments: [],
    };
    const { experiments } = await runLab(job, new AbortController().signal, () => undefined);
    const left = experiments.map(({ name, runs, missing }) => [
      ...[name, runs.length],
      ...missing.map(({ contender, reason }) => `${contender}: ${reason}`),
    ]);
    const late = "everybody: this machine was too busy for it to end in time";
    assert.deepEqual(left, [
      ["models", 0, late],
      ["race", 0, "own: it has no server", late],
    ]);
  });

  test("Ctrl-C writes the report of what there is, and leaves no server behind", {
    skip: existsSync("/proc/self/stat") ? false : "what is left behind is seen in /proc",
  }, async (t) => {
    const path = folder(t);
    const out = join(path, "lab.html");
    // A number that no other process has on its command line.
    const mark = `--drain-ms ${process.pid}`;
    const own = `own=${process.execPath} ${CLI} serve --port {port} --model event-loop ${mark}`;
    const args = ["models", "--model", "event-loop", ...SHORT, "--rounds", "100", "--out", out];
    const lab = Child.cli(t, "lab", ...args, "--server", own);
    await until(
      () => marked(mark) > 0,
      () => `a server of its own ${lab.story()}`,
      LONG_MS,
    );
    await until(
      () => lab.stderrLines.some((line) => line.includes("round 1")),
      () => `a run ${lab.story()}`,
      LONG_MS,
    );
    lab.kill("SIGINT");
    assert.deepEqual(await ended(lab), { code: 130, signal: null }, lab.story());
    assert.equal(marked(mark), 0);
    assert.match(readFileSync(out, "utf8"), /Interrupted: this is what there was by then/);
  });

  const losing: Readonly<Record<RaceKind, boolean>> = { plain: true, mutex: false, atomic: false };
  for (const [kind, mayLose] of Object.entries(losing) as [RaceKind, boolean][]) {
    test(`a race, ${kind}: ${mayLose ? "updates may be lost" : "none is lost"}`, async () => {
      const values = await runRace(kind, 3, 50_000);
      assert.equal(values.expected, 150_000);
      assert.equal(values.lost, values.expected - values.counted);
      if (mayLose) assert.ok(values.counted >= 50_000 && values.lost >= 0);
      else assert.equal(values.lost, 0);
    });
  }

  const mistakes: readonly (readonly [args: readonly string[], says: RegExp])[] = [
    [["nothing"], /there is no experiment "nothing"; there are models, cpu-bound, race, /],
    [["--model", "x"], /--model takes multi-reactor, hybrid, event-loop, /],
    [["--driver", "x"], /--driver takes /],
    [["--server", "x"], /a server is given as NAME=COMMAND, with \{port\} where it has to listen/],
    [["--server", "x=echo"], /with \{port\}/],
    [["--connections", "1,0"], /--connections takes an integer from 1 to 1000000, not "0"/],
    [["--cost", "x"], /--cost takes an integer from 1/],
    [["--rounds", "0"], /--rounds takes an integer from 1 to 100/],
    [["--duration", "1"], /--duration takes a time like/],
    [["--out", "/"], /\/ is a directory/],
    [["--out", "/no/such/folder/x.html"], /there is no folder \/no\/such\/folder/],
  ];
  test("mistakes are told in a sentence, before anything is run", async () => {
    for (const [args, says] of mistakes) {
      await assert.rejects(labCommand.run(args), (error: Error) => {
        assert.match(error.message, says, `sluice lab ${args.join(" ")}`);
        // What main.ts ends with exit code 2 for.
        return error instanceof UsageError || error instanceof OptionError;
      });
    }
  });
});
