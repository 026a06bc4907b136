// Several servers in one thread: each waits in the kernel for its own, and none may keep another from being served.

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

for (const first of DRIVERS) {
  for (const second of DRIVERS) {
    const skip = first.skip || second.skip;
    test(`both are served: ${first.name} and ${second.name}`, { skip }, async (t) => {
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
