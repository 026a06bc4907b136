// The experiment `peers` of the lab: Sluice and other servers under the same loads, over the number of connections. It writes a
// section of RESULTS.md and the README's plot (docs/peers.svg).
//
//   npm run bench:peers -- [--rounds 3] [--seconds 1] [--quick]
//
// It runs `sluice lab peers` as anybody can. With --quick the results are partial: they go to build/, and so does the plot.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import type { LabResult } from "../src/lab/lab-result.ts";
import { CPU, P50, P99, THROUGHPUT } from "../src/lab/report/figure.ts";
import { command } from "./command.ts";
import { buildDirectory, rootDirectory } from "./paths.ts";
import { provenanceOf } from "./provenance.ts";
import { readResults, writeResults } from "./publish.ts";
import type { PeersResult } from "./results.ts";

const CONNECTIONS = "1,10,50,200";

function main(): void {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string" },
      seconds: { type: "string" },
      quick: { type: "boolean", default: false },
    },
  });
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 3));
  const seconds = Number(values.seconds ?? (values.quick ? 0.3 : 1));
  if (!(rounds >= 1 && rounds <= 100 && seconds >= 0.1 && seconds <= 60)) {
    throw new RangeError("--rounds must be from 1 to 100, --seconds from 0.1 to 60");
  }
  mkdirSync(buildDirectory, { recursive: true });
  const json = `${buildDirectory}/peers.json`;
  const svg = values.quick ? "bench/build/peers.svg" : "docs/peers.svg";
  const args = ["lab", "peers", "--connections", CONNECTIONS, "--rounds", String(rounds)];
  const options = ["--duration", `${seconds * 1000}ms`, "--svg", svg];
  const files = ["--out", `${buildDirectory}/peers.html`, "--json", json];
  const words = ["src/cli/main.ts", ...args, ...options, ...files];
  const { status } = spawnSync(process.execPath, words, { cwd: rootDirectory, stdio: "inherit" });
  if (status !== 0) throw new Error(`sluice lab ended with ${status}`);
  const result: LabResult = JSON.parse(readFileSync(json, "utf8"));
  const destination = values.quick ? "partial" : "published";
  const peers: PeersResult = {
    provenance: provenanceOf("bench:peers", rounds, seconds),
    lab: ["sluice", ...args, ...options].join(" "),
    ...summary(result),
  };
  const path = writeResults(destination, { ...readResults(destination), peers });
  console.log(`written to ${path} and ${svg}`);
}

/** Of a result that holds whole histograms the figures that are published. */
function summary(result: LabResult): Pick<PeersResult, "contenders" | "measurements" | "absences"> {
  const experiment = result.experiments[0];
  if (experiment === undefined) throw new Error("the lab has measured nothing");
  return {
    contenders: experiment.contenders.map(({ name, version }) => ({ name, version })),
    measurements: experiment.runs.flatMap((run) => {
      const messagesPerSecond = THROUGHPUT.ofRun(run);
      if (messagesPerSecond === undefined) return [];
      const { part, contender, x: connections, round } = run;
      const figures = { p50Us: P50.ofRun(run), p99Us: P99.ofRun(run), cpuUs: CPU.ofRun(run) };
      return { part, server: contender, connections, round, messagesPerSecond, ...figures };
    }),
    absences: experiment.missing.map(({ contender, reason }) => ({ server: contender, reason })),
  };
}

command(import.meta.url);
main();
