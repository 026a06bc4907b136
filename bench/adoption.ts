// `npm run bench:adoption -- [--rounds 4] [--seconds 4]`: what it costs that connections may outlive their threads (`adoptOrphans`):
// the echo under full load with the option and without it, on both raw drivers.
//
// Two servers that differ in nothing else run at the same time and are measured in bursts by turns, there and back; each
// burst with the option is held against those without it right before and right after it. Every byte is compared.

import { parseArgs } from "node:util";
import { buildReferences } from "./build-programs.ts";
import { command } from "./command.ts";
import type { Measurement } from "./results.ts";
import { scenarios } from "./scenarios.ts";
import { sluice } from "./servers.ts";
import { ratios, spread } from "./statistics.ts";
import { measureInTurns } from "./turns.ts";

const SCENARIO = "50x64";
const WITHOUT = "without";
const WITH = "with";
const WARMUP_SECONDS = 3;
const MODEL = ["multi-reactor", "--threads", "1"];

command(import.meta.url);
const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "4" },
    seconds: { type: "string", default: "4" },
  },
});

async function measured(driver: string): Promise<Measurement[]> {
  const scenario = scenarios.find(({ name }) => name === SCENARIO);
  if (scenario === undefined) throw new Error(`there is no scenario ${SCENARIO}`);
  const servers = [
    sluice(WITHOUT, "echo.ts", driver, MODEL),
    sluice(WITH, "echo.ts", driver, [...MODEL, "--adopt-orphans"]),
  ];
  const timing = { seconds: Number(values.seconds), warmupSeconds: WARMUP_SECONDS, holdSeconds: 0 };
  const all: Measurement[] = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    await measureInTurns(scenario, servers, timing, {
      measured: ({ name }, burst, figures) =>
        void all.push({ server: name, round, burst, ...figures }),
      failed(server, error) {
        throw new Error(`${driver}, ${server.name}: failed`, { cause: error });
      },
    });
  }
  return all;
}

function told(all: readonly Measurement[], figure: (one: Measurement) => number): string {
  const found = spread(ratios(all, WITH, figure, WITHOUT));
  if (found === undefined) throw new Error("nothing was measured: give --rounds 1 or more");
  const [median, low, high] = [found.median, found.low, found.high].map((one) => one.toFixed(3));
  return `${median} (${low} to ${high})`;
}

buildReferences();
console.log(`with adoptOrphans / without, ${SCENARIO}, ${values.rounds} rounds: median (range)`);
for (const driver of ["io_uring", "epoll"]) {
  const all = await measured(driver);
  const rate = told(all, ({ messagesPerSecond }) => messagesPerSecond);
  const cpu = told(all, ({ cpuUsPerMessage }) => cpuUsPerMessage);
  const bound = all.filter(({ generatorBound }) => generatorBound).length;
  console.log(
    `${driver.padEnd(9)} messages/s ${rate}, server's CPU a message ${cpu}; ${bound} of ${all.length} bursts bounded by the load`,
  );
}
