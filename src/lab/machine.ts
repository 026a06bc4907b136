// Where and with what it was measured: without this no figure means anything.

import { readFileSync } from "node:fs";
import { availableParallelism, cpus, release, totalmem } from "node:os";
import type { Machine } from "./result.ts";

export function describeMachine(): Machine {
  return {
    cpu: cpuName(),
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    platform: `${process.platform} ${process.arch}`,
    kernel: release(),
    node: process.version,
  };
}

export function sluiceVersion(): string {
  const file = new URL("../../package.json", import.meta.url);
  const { version }: { version: string } = JSON.parse(readFileSync(file, "utf8"));
  return version;
}

/** Some guests name the processor so generically that only family and model tell two of them apart. */
function cpuName(): string {
  const name = cpus()[0]?.model.trim() ?? "unknown";
  try {
    const text = readFileSync("/proc/cpuinfo", "utf8");
    const field = (key: string) => new RegExp(`^${key}\\s*: (.*)$`, "m").exec(text)?.[1];
    const [family, model] = [field("cpu family"), field("model")];
    return family === undefined ? name : `${name} (family ${family}, model ${model})`;
  } catch {
    // No /proc here: the name is all there is.
    return name;
  }
}
