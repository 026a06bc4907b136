// A process that serves a handler module, for those who look at a process from outside and do bad things to it: argv is the
// module's URL and the options as JSON. It prints its port, tells of errors over IPC, and answers there to "statistics",
// "reload" and "close".

import type { ServeOptions } from "../../src/server/options.ts";
import { serve } from "../../src/server/serve.ts";
import { ThreadEndedError } from "../../src/server/thread-ended.ts";

/** What it tells of a thread that has ended. */
export interface ThreadEnd {
  readonly reason: string;
  readonly connections: number;
}

const [, , module = "", options = "{}"] = process.argv;
const server = await serve(new URL(module), {
  ...(JSON.parse(options) as ServeOptions),
  onError(error) {
    if (!(error instanceof ThreadEndedError)) return;
    const { reason, connections } = error;
    process.send?.({ end: { reason, connections } satisfies ThreadEnd });
  },
});

process.on("message", async (message) => {
  if (message === "statistics") process.send?.({ statistics: server.statistics() });
  if (message === "close") {
    process.send?.({ clean: await server.close({ drainMs: 5000 }) });
    process.disconnect?.();
  }
});

if (server.address.family !== "unix") console.log(`port ${server.address.port}`);
