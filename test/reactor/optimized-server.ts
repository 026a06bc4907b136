// A server with one client that makes its code hot, leaves, and is followed by a full collection. In a process of its own, which V8
// tells what it optimizes and what it throws away again (--trace-opt, --trace-deopt). Argument: the driver.

import { connect } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { lines } from "../../src/codec/lines.ts";
import type { ServeOptions } from "../../src/server/options.ts";
import { serve } from "../../src/server/serve.ts";

const MESSAGES = 60_000;
/** Lines in flight. */
const DEPTH = 20;

const server = await serve({
  port: 0,
  host: "127.0.0.1",
  model: "event-loop",
  driver: process.argv[2] as NonNullable<ServeOptions["driver"]>,
  codec: lines(),
  message(connection, line) {
    connection.write(`${line}\n`);
  },
});
const { address } = server;
if (address.family === "unix") throw new Error("a TCP address was asked for");

await new Promise<void>((resolve, reject) => {
  const client = connect(address.port, address.host);
  let left = MESSAGES;
  client.on("data", (bytes) => {
    let answered = 0;
    for (const byte of bytes) if (byte === 10) answered++;
    left -= answered;
    if (left <= 0) client.end();
    else client.write("a line\n".repeat(answered));
  });
  client.on("error", reject);
  client.on("close", () => resolve());
  client.write("a line\n".repeat(DEPTH));
});
while (server.statistics().connections > 0) await new Promise((done) => setTimeout(done, 5));

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as (options: object) => void;
// As V8 does it when a program has been idle for a while: only then are hidden classes dropped that no object has.
collect({ type: "major", flavor: "last-resort" });
console.log("collected");
await server.close();
