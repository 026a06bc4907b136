// Messages that a handler keeps, large enough to be received in place: they stay as they were, however much comes after.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { Client } from "../support/client.ts";
import { DRIVERS } from "../support/drivers.ts";
import { serveFor } from "../support/server.ts";
import { until } from "../support/until.ts";

const ROUNDS = 60;
const BYTES = 20_000;

for (const { name, skip } of DRIVERS) {
  test(`kept messages and their echoes are whole (${name})`, { skip }, async (t) => {
    const kept: Buffer[] = [];
    const server = await serveFor(t, {
      driver: name,
      message(connection, bytes) {
        kept.push(bytes);
        connection.write(bytes);
      },
    });
    const client = await Client.connect(t, server.address);
    const sent: Buffer[] = [];
    for (let round = 1; round <= ROUNDS; round++) {
      const piece = Buffer.alloc(BYTES, `round ${round} `);
      sent.push(piece);
      client.write(piece);
      await until(() => client.receivedLength === round * BYTES, `echo ${round}`);
    }
    const whole = Buffer.concat(sent);
    assert.ok(Buffer.concat(kept).equals(whole), "what was kept has changed");
    assert.ok(client.received().equals(whole), "the echo differs");
    assert.equal(server.statistics().bytesSent, whole.length);
    client.end();
  });
}
