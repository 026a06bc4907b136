// Several servers in one thread: each waits in the kernel for its own, and none may keep another from being served.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Child } from "../support/child.ts";
import { Client } from "../support/client.ts";
import { DRIVERS } from "../support/drivers.ts";
import { until } from "../support/until.ts";

const TWO = fileURLToPath(new URL("../support/two-servers.ts", import.meta.url));
const ROUNDS = 20;
/** Far beyond a round trip, far below the deadlines at which a server wakes up by itself. */
const SOON_MS = 1500;

const unfinished =
  "a reactor that waits does not see the other's events: one wait a thread is needed";

for (const first of DRIVERS) {
  for (const second of DRIVERS) {
    const skip = first.skip || second.skip;
    const bothWait = first.name !== "portable" && second.name !== "portable";
    const options = { skip, ...(bothWait && { todo: unfinished }) };
    test(`both are served: ${first.name} and ${second.name}`, options, async (t) => {
      const child = Child.node(t, [TWO, first.name, second.name]);
      const [, ...ports] = await child.says(/ports (\d+) (\d+)/);
      for (const port of ports) {
        const client = await Client.connect(t, {
          family: "ipv4",
          host: "127.0.0.1",
          port: Number(port),
        });
        for (let round = 1; round <= ROUNDS; round++) {
          client.write("hello");
          const answered = () => client.receivedLength >= round * 5;
          await until(answered, `answer ${round} within ${SOON_MS} ms`, SOON_MS);
        }
        client.destroy();
      }
    });
  }
}
