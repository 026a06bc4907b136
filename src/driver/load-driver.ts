// One driver without the others: a thread of a server runs on the one that was chosen for it, and all that it imports costs each
// thread anew.

import type { ServingDriver } from "./choices.ts";
import type { Driver, DriverOptions } from "./driver.ts";

/** Makes a driver for the calling thread. @throws SystemError or NativeUnavailableError when the host refuses it */
export type MakeDriver = (options: DriverOptions) => Driver;

const LOADERS: Readonly<
  Record<ServingDriver, () => Promise<new (options: DriverOptions) => Driver>>
> = {
  io_uring: async () => (await import("./uring-driver.ts")).UringDriver,
  epoll: async () => (await import("./epoll-driver.ts")).EpollDriver,
  blocking: async () => (await import("./blocking-driver.ts")).BlockingDriver,
  portable: async () => (await import("./portable-driver.ts")).PortableDriver,
};

export async function loadDriver(choice: ServingDriver): Promise<MakeDriver> {
  const Loaded = await LOADERS[choice]();
  return (options) => new Loaded(options);
}
