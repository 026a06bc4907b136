// Which driver this host gets: each candidate is tried in order, and whoever is refused says why.
//
// A probe makes the real thing (a driver with a few slots) and disposes of it, so that a host which forbids a call at any
// point is found out here and not under load.

import { errnoName, SystemError } from "../sys/errno.ts";
import { nativeRefusal } from "../sys/native-library.ts";
import { BlockingDriver } from "./blocking-driver.ts";
import {
  BLOCKING,
  CHOICES,
  type DriverChoice,
  DriverRefusedError,
  type ServingDriver,
} from "./choices.ts";
import type { Driver, DriverEvents, DriverOptions } from "./driver.ts";
import { EpollDriver } from "./epoll-driver.ts";
import { PortableDriver } from "./portable-driver.ts";
import { UringDriver } from "./uring-driver.ts";

export interface Refusal {
  readonly driver: DriverChoice;
  readonly reason: string;
}

export interface ChosenDriver<Driver extends ServingDriver = ServingDriver> {
  readonly driver: Driver;
  /** For people: why this one. */
  readonly why: string;
  /** Better ones that this host refuses. */
  readonly refused: readonly Refusal[];
}

/** Why this host refuses a driver, or undefined when it works. */
export function probeDriver(choice: DriverChoice): string | undefined {
  try {
    makeDriver(choice, PROBE).dispose();
    return undefined;
  } catch (error) {
    return refusalText(choice, error);
  }
}

/**
 * Chooses among what the host allows.
 * @throws DriverRefusedError when a certain driver is asked for and refused
 */
export function chooseDriver(wanted: DriverChoice | "auto"): ChosenDriver<DriverChoice> {
  if (wanted !== "auto") {
    const reason = probeDriver(wanted);
    if (reason === undefined) return { driver: wanted, why: "as asked", refused: [] };
    throw new DriverRefusedError(`the ${wanted} driver cannot run here: ${reason}`);
  }
  const refused: Refusal[] = [];
  for (const driver of CHOICES) {
    const reason = probeDriver(driver);
    if (reason !== undefined) refused.push({ driver, reason });
    else return { driver, why: whyAutomatic(refused), refused };
  }
  throw new DriverRefusedError(`no driver can run here: ${refused.map(describe).join("; ")}`);
}

/** The driver of threads that block. @throws DriverRefusedError when the host has no system calls for us */
export function blockingDriver(): ChosenDriver<typeof BLOCKING> {
  const reason = nativeRefusal();
  if (reason !== undefined) {
    throw new DriverRefusedError(`threads with blocking calls cannot run here: ${reason}`);
  }
  return { driver: BLOCKING, why: "the model's own: blocking calls", refused: [] };
}

/** Makes a driver for this thread. @throws SystemError or NativeUnavailableError when the host refuses it */
export function makeDriver(choice: ServingDriver, options: DriverOptions): Driver {
  if (choice === "io_uring") return new UringDriver(options);
  if (choice === "epoll") return new EpollDriver(options);
  if (choice === BLOCKING) return new BlockingDriver(options);
  return new PortableDriver(options);
}

function whyAutomatic(refused: readonly Refusal[]): string {
  return refused.length === 0
    ? "the fastest that this host allows"
    : refused.map(describe).join("; ");
}

function describe(refusal: Refusal): string {
  return `${refusal.driver} refused: ${refusal.reason}`;
}

function refusalText(choice: DriverChoice, error: unknown): string {
  if (choice !== "portable") {
    const native = nativeRefusal();
    if (native !== undefined) return native;
  }
  if (!(error instanceof SystemError))
    return error instanceof Error ? error.message : String(error);
  return URING_REFUSALS[errnoName(error.errno)] ?? error.message;
}

/** What the errors of io_uring_setup(2) and io_uring_register(2) mean for an administrator. */
const URING_REFUSALS: Readonly<Record<string, string>> = {
  EPERM: "forbidden here (the sysctl kernel.io_uring_disabled, or a container's seccomp rules)",
  ENOSYS: "this kernel has no io_uring, or one older than Linux 6.1",
  ENOMEM: "no memory may be locked for its rings (RLIMIT_MEMLOCK)",
};

const ignore = () => {
  // A probe's driver has no connections, so no event can come that anyone would miss.
};
const NO_EVENTS: DriverEvents = {
  listening: ignore,
  accepted: ignore,
  connected: ignore,
  received: ignore,
  sent: ignore,
  closed: ignore,
  detached: ignore,
};
const PROBE: DriverOptions = { events: NO_EVENTS, slots: 8, outputBytes: 1024 * 1024 };
