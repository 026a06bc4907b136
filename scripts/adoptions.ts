// `node scripts/adoptions.ts [--deaths N] [--driver D] [--clients N]`: kills the threads of a server that adopts connections again
// and again, in four ways in turn, while clients check every byte: of a connection that goes on no answer may be lost, doubled
// or wrong, and after all of it the process must have the descriptors that it had before. Exits with 1 otherwise.

import { parseArgs } from "node:util";
import type { DriverChoice } from "../src/driver/choices.ts";
import { serve } from "../src/server/serve.ts";
import { ThreadEndedError } from "../src/server/thread-ended.ts";
import { adoptionRounds } from "../test/support/adoption-rounds.ts";
import { descriptorsOf } from "../test/support/process-figures.ts";
import { settled, until } from "../test/support/until.ts";

const { values } = parseArgs({
  options: {
    deaths: { type: "string", default: "300" },
    driver: { type: "string", default: "io_uring" },
    clients: { type: "string", default: "48" },
  },
});

let ended = 0;
let closed = 0;
const server = await serve(new URL("../test/support/handlers/orphaned.ts", import.meta.url), {
  driver: values.driver as DriverChoice,
  threads: 2,
  adoptOrphans: true,
  limits: { blockedMs: 1000 },
  onError(error) {
    if (!(error instanceof ThreadEndedError)) return;
    ended++;
    closed += error.connections;
  },
});
const { address } = server;
if (address.family === "unix") throw new Error("a server without a port");
const clients = Number(values.clients);
const rounds = (deaths: number) =>
  adoptionRounds({ port: address.port, clients, deaths, ended: () => ended });

const descriptorsNow = async () => {
  await until(() => server.statistics().connections === 0, "no connections");
  return settled(() => descriptorsOf("self"));
};
const faults = await rounds(4);
const before = await descriptorsNow();
const began = performance.now();
faults.push(...(await rounds(Number(values.deaths))));
const seconds = (performance.now() - began) / 1000;
const left = (await descriptorsNow()) - before;
if (left > 0) faults.push(`${left} descriptors more than before`);
const { adopted, messages } = server.statistics();
await server.close();
console.log(
  `${server.driver}: ${ended} deaths in ${seconds.toFixed(0)} s, ${adopted} connections adopted, ${closed} ended with ` +
    `their threads, ${messages} messages; ${faults.length} faults`,
);
for (const fault of faults) console.log(`FAULT ${fault}`);
process.exit(faults.length === 0 ? 0 : 1);
