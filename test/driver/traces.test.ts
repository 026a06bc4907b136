// The drivers side by side: the same scenes must give the same events. Where they do not, the difference is written
// down here with its reason; one that no longer occurs must go from the list.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { DriverName } from "../../src/driver/driver.ts";
import type { Host } from "./host.ts";
import { blockingHost, nativeHost, portableHost } from "./real-hosts.ts";
import { SimulatedHost } from "./simulated-host.ts";
import { SCENES, traceOf } from "./traces.ts";

interface Difference {
  readonly drivers: readonly DriverName[];
  readonly scene: keyof typeof SCENES;
  readonly trace: readonly string[];
  readonly reason: string;
}

const DIFFERENCES: readonly Difference[] = [
  {
    drivers: ["portable"],
    scene: "a send to a peer that has reset, then reading",
    trace: ["listening, accepted", "sent −ECONNRESET, received −ECONNRESET, closed"],
    reason:
      "a kernel tells an error once, and then the end; node:net destroys the stream with it, for both directions",
  },
];

const reference = new SimulatedHost("simulated", 1);
const hosts: readonly Host[] = [
  portableHost(),
  nativeHost("epoll"),
  nativeHost("io_uring"),
  blockingHost(),
];

for (const host of hosts) {
  const skip = host.refused === undefined ? false : `refused here: ${host.refused}`;
  describe(`events of ${host.title}, compared with those of the simulated driver`, { skip }, () => {
    for (const [name, scene] of Object.entries(SCENES)) {
      it(name, async () => {
        const known = DIFFERENCES.find((difference) => applies(difference, host, name));
        const expected = await traceOf(reference, scene);
        if (known) assert.notDeepEqual(known.trace, expected, "a difference that is none");
        assert.deepEqual(await traceOf(host, scene), known?.trace ?? expected);
      });
    }
  });
}

function applies(difference: Difference, host: Host, scene: string): boolean {
  return difference.scene === scene && difference.drivers.includes(host.driver);
}
