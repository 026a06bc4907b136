// The signal that asks a command to stop.

import { deferred } from "../deferred.ts";

/** The first signal; nobody listens for the second, so it ends the process at once, as it would any other. */
export function stopSignal(): Promise<void> {
  const { promise, resolve } = deferred<void>();
  const stop = () => {
    process.off("SIGTERM", stop).off("SIGINT", stop);
    resolve();
  };
  process.on("SIGTERM", stop).on("SIGINT", stop);
  return promise;
}
