// Connections that are held: who is reset counts as much as who is ended, and nobody waits for either.

import assert from "node:assert/strict";
import { createServer, type Socket } from "node:net";
import { test } from "node:test";
import { HeldConnections } from "../../src/lab/held-connections.ts";
import { until } from "../support/until.ts";

const HOLD = { count: 6, request: "here\n", reads: true, patienceMs: 600_000 };

/** Answers two, resets two, ends two. */
async function mixed(): Promise<{ port: number; close: () => void }> {
  let count = 0;
  const server = createServer((socket: Socket) => {
    const which = count++ % 3;
    socket.on("error", () => undefined);
    socket.once("data", () => {
      if (which === 0) socket.write("you\n");
      else if (which === 1) socket.resetAndDestroy();
      else socket.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  return { port: address.port, close: () => server.close() };
}

test("those that are reset or ended are told from those that are answered", async (t) => {
  const { port, close } = await mixed();
  const held = await HeldConnections.hold({ family: "ipv4", host: "127.0.0.1", port }, HOLD);
  t.after(() => {
    held.end();
    close();
  });
  await until(() => held.answered + held.failed === HOLD.count, "all to be settled");
  assert.deepEqual([held.answered, held.failed], [2, 4]);
  held.end();
  assert.equal(held.failed, 4, "who is ended by us has not failed");
});
