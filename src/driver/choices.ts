// Which drivers there are, for who names one and needs none of their code.

/** The drivers a user can choose; best first. */
export const CHOICES = ["io_uring", "epoll", "portable"] as const;
export type DriverChoice = (typeof CHOICES)[number];

/** The one of those models in which a thread blocks in its calls: they choose it, and nobody else does. */
export const BLOCKING = "blocking";
/** What a server can run on. */
export type ServingDriver = DriverChoice | typeof BLOCKING;

/** A driver was asked for that this host does not allow. */
export class DriverRefusedError extends Error {
  override readonly name = "DriverRefusedError";
  readonly code = "ERR_SLUICE_DRIVER_REFUSED";
}

/** Whether several reactors can accept from one listening descriptor. */
export function sharesDescriptors(choice: ServingDriver): boolean {
  return choice !== "portable";
}
