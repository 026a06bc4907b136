// `node scripts/reloads.ts [--reloads N] [--model M] [--driver D] [--visitors N] [--long N]`: reloads a server again and again while clients
// come and go as fast as they can and others stay. One of the new generations crashes at its start. Nobody may be refused,
// reset or cut, those who stay must be ended in order, and the counters must add up. Exits with 1 otherwise.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { DriverChoice } from "../src/driver/choose-driver.ts";
import { blocks, type ModelName } from "../src/server/options.ts";
import { serve } from "../src/server/serve.ts";
import { until } from "../test/support/until.ts";
import { Visitors } from "../test/support/visitors.ts";

const { values } = parseArgs({
  options: {
    reloads: { type: "string", default: "100" },
    model: { type: "string", default: "multi-reactor" },
    driver: { type: "string", default: "io_uring" },
    visitors: { type: "string", default: "20" },
    long: { type: "string", default: "100" },
  },
});
const RELOADS = Number(values.reloads);
const GRACE_MS = 200;
const CODEC = fileURLToPath(new URL("../src/codec/lines.ts", import.meta.url));

const folder = mkdtempSync(join(tmpdir(), "sluice-reloads-"));
const file = join(folder, "handlers.mjs");
const faults = new Map<string, number>();
const fault = (what: string) => void faults.set(what, (faults.get(what) ?? 0) + 1);

writeFileSync(file, version(0));
const model = values.model as ModelName;
const server = await serve(
  file,
  blocks(model)
    ? // A thread for each who is there; those who stay come back before their old threads are free.
      { model, threads: Number(values.visitors) + 2 * Number(values.long) + 4 }
    : { model, driver: values.driver as DriverChoice, threads: 2 },
);
const visitors = new Visitors({
  address: server.address,
  visitors: Number(values.visitors),
  ask: "?\n",
});
let ended = 0;
let staying = true;
for (let n = 0; n < Number(values.long); n++) stay();
const began = performance.now();

for (let reload = 1; reload <= RELOADS; reload++) {
  if (reload === Math.ceil(RELOADS / 2)) await crashAtStart();
  writeFileSync(file, version(reload));
  await server.reload({ graceMs: GRACE_MS });
  const answer = `v${reload}`;
  await until(() => (visitors.answers.get(answer) ?? 0) > 50, `visits to ${answer}`);
  if (reload % 10 === 0) tell(reload);
}
staying = false;
await until(() => visitors.leave(), "the last visitor");
for (const [what, times] of visitors.failures) fault(`${what}, ${times} times`);
if (!(await server.close({ drainMs: 5000 }))) fault("a connection that was cut off at the end");
const { accepted, closed, messages } = server.statistics();
if (accepted !== closed) fault(`${accepted} accepted, ${closed} closed`);
if (messages < visitors.served) fault(`${visitors.served} served, ${messages} counted`);
for (const [what] of faults) console.log(`FAULT ${what}`);
rmSync(folder, { recursive: true });
process.exit(faults.size === 0 ? 0 : 1);

function version(number: number): string {
  return `import { lines } from ${JSON.stringify(CODEC)};
    export default { codec: lines(), message: (connection) => void connection.send("v${number}") };`;
}

async function crashAtStart(): Promise<void> {
  writeFileSync(file, "throw new Error('a successor that crashes at its start');");
  const failed = await server.reload({ graceMs: GRACE_MS }).then(
    () => false,
    (error: Error) => error.message.includes("crashes at its start"),
  );
  if (!failed) fault("a successor that crashed was not told of");
}

/** A client that stays, asks now and then, and comes again when its thread ends it. */
function stay(): void {
  if (!staying) return;
  const socket = connect(server.address as { readonly host: string; readonly port: number });
  const asking = setInterval(() => socket.write("?\n"), 20);
  socket.resume();
  socket.on("end", () => {
    clearInterval(asking);
    socket.destroy();
  });
  socket.on("error", (error: NodeJS.ErrnoException) => fault(`one that stays: ${error.code}`));
  socket.on("close", () => {
    clearInterval(asking);
    ended++;
    stay();
  });
}

function tell(reload: number): void {
  const seconds = (performance.now() - began) / 1000;
  const { served } = visitors;
  const failed = [...visitors.failures].map(([what, times]) => `${times} ${what}`).join(", ");
  console.log(
    `${reload} reloads in ${Math.round(seconds)} s, ${served} new connections served ` +
      `(${Math.round(served / seconds)}/s), failed: ${failed || "none"}; ${ended} that stayed ended in order`,
  );
}
