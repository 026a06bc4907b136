// An echo of lines in a thread that can be kept busy: "busy" makes its thread compute for 9 of every 10 ms, "idle" ends that;
// "doom" makes it say so on the channel of that name, compute for a while, and end.

import { lines } from "../../../src/codec/lines.ts";
import { handlers } from "../../../src/handlers.ts";

const BUSY_MS = 9;
const EVERY_MS = 10;
const DOOM_MS = 100;
const thread: { timer: NodeJS.Timeout | undefined } = { timer: undefined };

function compute(): void {
  const end = performance.now() + BUSY_MS;
  while (performance.now() < end);
}

function doom(): void {
  new BroadcastChannel("doom").postMessage("computing");
  const end = performance.now() + DOOM_MS;
  while (performance.now() < end);
  process.exit(3);
}

export default handlers<string, string>({
  codec: lines(),
  message(connection, line) {
    if (line === "busy") thread.timer ??= setInterval(compute, EVERY_MS);
    if (line === "idle") {
      clearInterval(thread.timer);
      thread.timer = undefined;
    }
    if (line === "doom") doom();
    connection.send(line);
  },
});
