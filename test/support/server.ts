// A server for one test, in the test's own thread; gone, and shown to be empty, when the test is over.

import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import type { Handlers } from "../../src/handlers.ts";
import type { ServeOptions } from "../../src/server/options.ts";
import { type Server, serve } from "../../src/server/serve.ts";

/** Errors of handlers are expected by the tests that make them: no others come. */
const QUIET: Pick<ServeOptions, "onError"> = { onError: () => undefined };

export async function serveFor<Message = Buffer, Sent = Uint8Array | string, State = unknown>(
  t: TestContext,
  table: Handlers<Message, Sent, State> & ServeOptions,
): Promise<Server> {
  const server = await serve({ ...QUIET, ...table });
  t.after(async () => {
    await server.close({ drainMs: 50 });
    assertEmpty(server);
  });
  return server;
}

/** Every connection was opened and closed, and nothing of any is left. */
export function assertEmpty(server: Server): void {
  const { connections, accepted, closed, outputBytes, inputBytes } = server.statistics();
  assert.deepEqual(
    { connections, open: accepted - closed, outputBytes, inputBytes },
    { connections: 0, open: 0, outputBytes: 0, inputBytes: 0 },
  );
}

export function portOf(server: Server): number {
  assert.ok(server.address.family !== "unix");
  return server.address.port;
}
