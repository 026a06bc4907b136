// `sluice load` as people run it: what it prints, what it leaves, and how it ends.

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { UsageError } from "../../src/cli/command.ts";
import { loadCommand } from "../../src/cli/load-command.ts";
import { type LoadResult, RESULT_SCHEMA } from "../../src/lab/result.ts";
import { OptionError } from "../../src/limits.ts";
import { formatAddress } from "../../src/sys/address.ts";
import { Child } from "../support/child.ts";
import { until } from "../support/until.ts";
import { knownTarget } from "./known-targets.ts";

const TIMES = ["--duration", "200ms", "--warm-up", "50ms", "--cool-down", "0ms"];
const SHORT = ["--connections", "2", ...TIMES];

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "sluice-load-"));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

describe("sluice load", { concurrency: 3 }, () => {
  test("says what it did, and writes it down", async (t) => {
    const { address } = await knownTarget(t, "echo");
    const path = folder(t);
    const files = {
      json: join(path, "a.json"),
      hgrm: join(path, "a.hgrm"),
      html: join(path, "a.html"),
    };
    const outputs = Object.entries(files).flatMap(([option, file]) => [`--${option}`, file]);
    const args = [formatAddress(address), ...SHORT, "--rate", "500", "--seed", "7", ...outputs];
    const child = Child.cli(t, "load", ...args);
    assert.deepEqual(await child.exit(), { code: 0, signal: null }, child.story());
    assert.match(child.stdout, /: echo, 64 bytes, open loop, 500\/s, 2 connections\n/);
    assert.match(child.stdout, /^response +\d.* ms|µs/m);
    assert.match(child.stdout, /^errors +none$/m);
    assert.match(child.stderr, /^warm-up .*2 connections$/m);
    const result: LoadResult = JSON.parse(readFileSync(files.json, "utf8"));
    assertSchema(result);
    assert.deepEqual(result.arguments, args);
    assert.equal(result.plan.seed, 7);
    const hgrm = readFileSync(files.hgrm, "utf8");
    assert.match(
      hgrm,
      /^ +Value +Percentile TotalCount 1\/\(1-Percentile\)\n\n +\d+\.\d{3} 0\.0{12} +0 +1\.00\n/,
    );
    assert.match(hgrm, /#\[Max {5}= +\d+\.\d{3}, Total count {4}= +100\]\n/);
    const html = readFileSync(files.html, "utf8");
    assert.match(html, /<polyline points="[\d.]+,[\d.]+ /);
    assert.doesNotMatch(html, /(?:src|href)="http/);
  });

  test("Ctrl-C gives the result so far", async (t) => {
    const target = await knownTarget(t, "echo");
    const file = join(folder(t), "a.json");
    const times = ["--duration", "1h", "--warm-up", "0ms", "--json", file];
    const child = Child.cli(t, "load", formatAddress(target.address), ...times);
    await until(
      () => target.counts().bytes > 100_000,
      () => `load ${child.story()}`,
    );
    child.kill("SIGINT");
    assert.deepEqual(await child.exit(), { code: 130, signal: null }, child.story());
    assert.match(child.stdout, /^interrupted: this is what there was so far$/m);
    const result: LoadResult = JSON.parse(readFileSync(file, "utf8"));
    assertSchema(result);
    assert.equal(result.interrupted, true);
    const [stage] = result.stages;
    assert.ok(stage !== undefined && stage.messages > 100 && stage.seconds < 60);
    assert.deepEqual(stage.errors, []);
  });

  test("a ramp and a search have a stage for each rate", async (t) => {
    const { address } = await knownTarget(t, "echo");
    const ramp = ["--ramp", "100..300", "--steps", "3", "--json", "-", "--quiet"];
    const climbing = Child.cli(t, "load", formatAddress(address), ...SHORT, ...ramp);
    assert.equal((await climbing.exit()).code, 0, climbing.story());
    const climbed: LoadResult = JSON.parse(climbing.stdout);
    assert.deepEqual(
      climbed.stages.map(({ wantedRate }) => wantedRate),
      [100, 200, 300],
    );
    // Nobody answers in a ns: the search goes down until there is no rate left.
    const search = ["--find-max", "p50<0.001us", "--rate", "40", "--json", "-", "--quiet"];
    const searching = Child.cli(t, "load", formatAddress(address), ...SHORT, ...search);
    assert.equal((await searching.exit()).code, 0, searching.story());
    const searched: LoadResult = JSON.parse(searching.stdout);
    assert.deepEqual(
      searched.stages.map(({ wantedRate }) => wantedRate),
      [40, 20, 10, 5, 2.5, 1.25, 0.625],
    );
    assert.equal(searched.findMax?.rate, 0);
    assert.match(searched.findMax?.why ?? "", /^at 1\/s /);
  });

  test("a search where nobody listens ends at once, and says so", async (t) => {
    const { address } = await knownTarget(t, "reset");
    const at = formatAddress(address);
    const search = ["--find-max", "p99<5ms", "--connections", "1"];
    const child = Child.cli(t, "load", at, ...search, ...TIMES);
    assert.equal((await child.exit()).code, 1, child.story());
    assert.match(
      child.stdout,
      /: echo, 64 bytes, open loops, in search of the highest rate, 1 connection\n/,
    );
    assert.match(
      child.stdout,
      /^p99<5ms holds at no rate that was tried: at 1000\/s nothing was answered \(1 × ECONNRESET\)$/m,
    );
    assert.match(child.stderr, /^1,000\/s: nothing answered, 1 × ECONNRESET$/m);
  });

  test("a server of its own, and churn", async (t) => {
    const command = `${process.execPath} src/cli/main.ts serve --port {port} --model event-loop --json`;
    // A server that has just started may have to wait for a core.
    const long = ["--connections", "2", "--warm-up", "100ms", "--duration", "1s"];
    const child = Child.cli(t, "load", "--server", command, ...long, "--churn");
    assert.deepEqual(await child.exit(), { code: 0, signal: null }, child.story());
    assert.match(child.stdout, /^connect +\d/m);
    // Its own statistics: one message a connection, and one connection to see whether it listens.
    const counted = /^it counted .*accepted ([\d,]+).* messages ([\d,]+)/m.exec(child.stdout);
    const [accepted = 0, messages = 0] = (counted ?? [])
      .slice(1)
      .map((figure) => Number(figure.replaceAll(",", "")));
    assert.ok(messages > 0 && accepted >= messages, child.story());
    if (existsSync("/proc/self/stat"))
      assert.match(child.stdout, /^server +\S*node .*\(pid \d+\)$/m);
  });

  test("idle connections alone", async (t) => {
    const target = await knownTarget(t, "echo");
    const idle = ["--connections", "0", "--idle", "30", "--duration", "100ms", "--warm-up", "0ms"];
    const child = Child.cli(t, "load", formatAddress(target.address), ...idle);
    assert.deepEqual(await child.exit(), { code: 0, signal: null }, child.story());
    // One message at the beginning, and one at the end.
    assert.deepEqual(target.counts(), { accepted: 30, bytes: 30 * 64 * 2 });
  });

  test("a target that fails is an error in one line", async (t) => {
    const { address } = await knownTarget(t, "reset");
    const child = Child.cli(t, "load", formatAddress(address), ...SHORT, "--quiet");
    assert.equal((await child.exit()).code, 1, child.story());
    assert.deepEqual(child.stderrLines, [
      `sluice: ${formatAddress(address)}: 2 × ECONNRESET: connection reset by the peer: 1 message unanswered`,
    ]);
  });

  const mistakes: readonly (readonly [args: readonly string[], says: RegExp])[] = [
    [[], /load takes one target, like 127\.0\.0\.1:7000, or a --server to start/],
    [["1", "2"], /load takes one target/],
    [["1", "--json", "/no/such/folder/x.json"], /there is no folder \/no\/such\/folder/],
    [["1", "--html", "/proc"], /\/proc is a directory/],
    [["1", "--hgrm", "/proc/x.hgrm"], /cannot be written/],
    [["1", "--json", "-", "--hgrm", "-"], /only one of them can go to standard output/],
    [["127.0.0.1:0"], /"127\.0\.0\.1:0" is no endpoint: HOST:PORT, /],
    [["no.such.host.invalid:1"], /there is no host named no\.such\.host\.invalid/],
    [["1", "--rate", "0"], /--rate takes messages\/s, a number above 0, not "0"/],
    [["1", "--duration", "10"], /--duration takes a time like 250ms, 10s or 2m, not "10"/],
    [["1", "--size", "0"], /a message has 1 to \d+ bytes, not 0/],
    [["1", "--size", "9-3"], /the smaller size comes first/],
    [["1", "--size", "1KB"], /sizes are written 64, 16-1024, exp:512 or 64:9,4096:1, not "1KB"/],
    [["1", "--workload", "smtp"], /--workload takes echo, lines, /],
    [["1", "--workload", "http", "--size", "1"], /the sizes of http are not ours to choose/],
    [["1", "--path", "/x"], /--path belongs to --workload http/],
    [["1", "--workload", "scenario"], /--scenario FILE and --workload scenario belong together/],
    [["1", "--rate", "5", "--depth", "2"], /depth is for closed loops/],
    [["1", "--churn", "--rate", "5"], /a rate makes an open loop/],
    [["1", "--connections", "0"], /0 connections send nothing/],
    [["1", "--ramp", "5"], /--ramp is like 1000\.\.20000, not "5"/],
    [["1", "--ramp", "1..2", "--rate", "5"], /one of them/],
    [["1", "--steps", "5"], /--steps belongs to --ramp/],
    [["1", "--find-max", "p98<1ms"], /a condition is like "p99<5ms"/],
    [["1", "--seed=-1"], /--seed takes an integer from 0/],
  ];
  test("mistakes are told in a sentence", async () => {
    for (const [args, says] of mistakes) {
      await assert.rejects(loadCommand.run(args), (error: Error) => {
        assert.match(error.message, says, `sluice load ${args.join(" ")}`);
        // What main.ts ends with exit code 2 for.
        return error instanceof UsageError || error instanceof OptionError;
      });
    }
  });
});

/** What every reader of results relies on. */
function assertSchema(result: LoadResult): void {
  assert.equal(result.schema, RESULT_SCHEMA);
  assert.match(result.sluice, /^\d+\.\d+\.\d+/);
  assert.ok(Number.isFinite(Date.parse(result.startedAt)));
  assert.ok(result.machine.cores > 0 && result.machine.kernel !== "" && result.machine.cpu !== "");
  for (const stage of result.stages) {
    assert.equal(stage.response.count, stage.messages);
    const { response, slices } = stage;
    assert.equal(
      response.histogram.reduce((sum, [, count]) => sum + count, 0),
      response.count,
    );
    assert.ok(response.min <= response.p50 && response.p50 <= response.p99);
    assert.ok(response.p99 <= response.max);
    assert.equal(
      slices.reduce((sum, { messages }) => sum + messages, 0),
      stage.messages,
    );
    let at = 0;
    for (const slice of slices) {
      assert.equal(slice.fromMs, at);
      assert.ok(slice.toMs > at);
      at = slice.toMs;
    }
  }
}
