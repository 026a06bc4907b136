// The hosts of the drivers with real sockets, or why this machine refuses them.

import { BlockingDriver } from "../../src/driver/blocking-driver.ts";
import type { DriverChoice } from "../../src/driver/choices.ts";
import { makeDriver, probeDriver } from "../../src/driver/choose-driver.ts";
import { PortableDriver } from "../../src/driver/portable-driver.ts";
import { nativeRefusal } from "../../src/sys/native-library.ts";
import { RealHost } from "./real-host.ts";

/** How long a write may block here: its peers live in the same thread, and must read meanwhile. */
const BLOCKED_MS = 2;

export function portableHost(): RealHost {
  return new RealHost("portable", (options) => new PortableDriver(options));
}

export function blockingHost(sliceMs = BLOCKED_MS): RealHost {
  const make = (options: ConstructorParameters<typeof BlockingDriver>[0]) =>
    new BlockingDriver(options, sliceMs);
  return new RealHost("blocking", make, nativeRefusal());
}

export function nativeHost(choice: Exclude<DriverChoice, "portable">): RealHost {
  return new RealHost(choice, (options) => makeDriver(choice, options), probeDriver(choice));
}
