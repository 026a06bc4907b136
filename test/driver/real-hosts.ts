// The hosts of the three drivers with real sockets, or why this machine refuses them.

import { type DriverChoice, makeDriver, probeDriver } from "../../src/driver/choose-driver.ts";
import { PortableDriver } from "../../src/driver/portable-driver.ts";
import { RealHost } from "./real-host.ts";

export function portableHost(): RealHost {
  return new RealHost("portable", (options) => new PortableDriver(options));
}

export function nativeHost(choice: Exclude<DriverChoice, "portable">): RealHost {
  return new RealHost(choice, (options) => makeDriver(choice, options), probeDriver(choice));
}
