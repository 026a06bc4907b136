// The example service, of which a thread can be told to die: `server.broadcast({ die: N })`.

import example from "../../../examples/service.ts";
import type { Context } from "../../../src/handlers.ts";

export default {
  ...example,
  broadcast(context: Context<never>, data: unknown) {
    const victim =
      typeof data === "object" && data !== null && "die" in data ? data.die : undefined;
    if (victim === context.thread) process.exit(3);
    example.broadcast?.(context, data);
  },
};
