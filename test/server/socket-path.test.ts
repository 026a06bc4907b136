// The path of a Unix socket: what lies there and is no socket stays, what a crashed server left is taken over, and what somebody
// did to the path meanwhile keeps no server from ending. On every driver.

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, type TestContext, test } from "node:test";
import { type Server, serve } from "../../src/server/serve.ts";
import { Client } from "../support/client.ts";
import { DRIVERS } from "../support/drivers.ts";

const directory = mkdtempSync(join(tmpdir(), "sluice-path-"));
after(() => rmSync(directory, { recursive: true }));

const echo = { message: (c: { write(bytes: Buffer): void }, bytes: Buffer) => c.write(bytes) };

/** A client that the server has echoed to. */
async function answered(t: TestContext, server: Server): Promise<Client> {
  const client = await Client.connect(t, server.address);
  client.write("hi");
  assert.equal(String(await client.bytes(2)), "hi");
  return client;
}

for (const { name: driver, skip } of DRIVERS) {
  describe(`a Unix socket's path, ${driver}`, { skip }, () => {
    const at = (name: string) => join(directory, `${driver}-${name}`);

    test("a file that is no socket stays as it is, and the address is in use", async () => {
      const path = at("file");
      writeFileSync(path, "somebody's");
      await assert.rejects(serve({ driver, path, ...echo }), { code: "EADDRINUSE" });
      assert.equal(readFileSync(path, "utf8"), "somebody's");
    });

    test("a socket that nobody answers at is taken over, and gone in the end", async (t) => {
      const path = at("left");
      const other = createServer();
      await new Promise<void>((resolve) => other.listen(`${path}.bound`, resolve));
      // Its own end would remove the path that it was bound to.
      renameSync(`${path}.bound`, path);
      await new Promise((resolve) => other.close(resolve));
      const server = await serve({ driver, path, ...echo });
      (await answered(t, server)).socket.destroy();
      await server.close({ drainMs: 1000 });
      assert.equal(existsSync(path), false);
    });

    test("a server whose path was removed ends as any other", async (t) => {
      const path = at("removed");
      const server = await serve({ driver, path, ...echo });
      await answered(t, server);
      rmSync(path);
      await server.close({ drainMs: 10_000 });
      assert.equal(server.statistics().closed, 1);
    });
  });
}

for (const { name: driver, skip } of DRIVERS.filter(({ name }) => name !== "portable")) {
  test(`what another server has bound there since is left to it, ${driver}`, {
    skip,
  }, async (t) => {
    const path = join(directory, `${driver}-replaced`);
    const first = await serve({ driver, path, ...echo });
    rmSync(path);
    const second = await serve({ driver, path, ...echo });
    await first.close({ drainMs: 0 });
    (await answered(t, second)).socket.destroy();
    await second.close({ drainMs: 1000 });
    assert.equal(existsSync(path), false);
  });
}
