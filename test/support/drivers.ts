// The drivers that every behaviour of a server is tested with, each with the reason when this host refuses it.

import { CHOICES, type DriverChoice } from "../../src/driver/choices.ts";
import { probeDriver } from "../../src/driver/choose-driver.ts";

export interface TestedDriver {
  readonly name: DriverChoice;
  /** Why its tests are skipped, or false. */
  readonly skip: string | false;
}

export const DRIVERS: readonly TestedDriver[] = CHOICES.map((name) => {
  const refused = probeDriver(name);
  return { name, skip: refused === undefined ? false : `${name} is refused here: ${refused}` };
});

/** Those that wait in the kernel and know descriptors. */
export const RAW_DRIVERS = DRIVERS.filter(({ name }) => name !== "portable");
