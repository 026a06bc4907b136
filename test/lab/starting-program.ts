// Starts a server as the lab does, and then does nothing: for tests that end it in every way.

import { StartedServer } from "../../src/lab/started-server.ts";

const server = await StartedServer.start({ command: process.argv.slice(2) });
const processes = server
  .watch()
  .read()
  ?.processes.map(({ pid }) => pid);
console.log(JSON.stringify({ processes }));
await new Promise(() => setInterval(() => undefined, 1000));
