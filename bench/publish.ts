// Where results are kept, and how they become a page: RESULTS.md is always written from the whole of results.json, so a run
// replaces the parts that it has measured and leaves all else alone.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { benchDirectory, buildDirectory } from "./paths.ts";
import { report } from "./report.ts";
import type { Results } from "./results.ts";

/** Partial results (few rounds, few servers) never overwrite those that are published. */
export type Destination = "published" | "partial";

const directoryOf = (destination: Destination): string =>
  destination === "published" ? benchDirectory : `${buildDirectory}/`;

export function readResults(destination: Destination): Results {
  const path = `${directoryOf(destination)}results.json`;
  if (!existsSync(path)) return { version: 1, scenarios: {} };
  const results: Results = JSON.parse(readFileSync(path, "utf8"));
  if (results.version !== 1) throw new Error(`${path} is of another version; remove it`);
  return results;
}

/** Writes both files and says where the report is. */
export function writeResults(destination: Destination, results: Results): string {
  const directory = directoryOf(destination);
  mkdirSync(directory, { recursive: true });
  writeFileSync(`${directory}results.json`, `${JSON.stringify(results, undefined, 1)}\n`);
  writeFileSync(`${directory}RESULTS.md`, report(results));
  return `${directory}RESULTS.md`;
}
