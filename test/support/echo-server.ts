// A process with one echo server in its main thread, for tests that look at a process from outside: its CPU time, its
// descriptors, its end. It prints its port, and answers "statistics" and "close" over IPC.

import type { ServeOptions } from "../../src/server/options.ts";
import { serve } from "../../src/server/serve.ts";

const options = JSON.parse(process.argv[2] ?? "{}") as ServeOptions;
const server = await serve({
  ...options,
  message: (connection, bytes) => void connection.write(bytes),
});

process.on("message", async (message) => {
  if (message === "statistics") process.send?.(server.statistics());
  if (message !== "close") return;
  process.send?.(await server.close({ drainMs: 1000 }));
  process.disconnect?.();
});

if (server.address.family !== "unix") console.log(`port ${server.address.port}`);
