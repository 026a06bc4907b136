// Cleaning up after a thread that ended without disposing of its driver (a crash, `terminate`): nobody in it can run any
// more, but its descriptors belong to the process and are still open.
//
// The driver noted each of them in shared memory (DriverOptions.descriptors) and took it out before it closed it, so what
// stands there is open and ours. Closing the ring or the epoll set first ends whatever the kernel still had to do.

import { destroyAioContext } from "../sys/aio-calls.ts";
import { closeDescriptor } from "../sys/socket-calls.ts";
import { AIO_CONTEXT, OWN_DESCRIPTORS } from "./driver.ts";

/** Ends the AIO context and closes every descriptor noted in the table of a driver whose thread is gone; how many there were. */
export function closeLeftDescriptors(table: Int32Array): number {
  const low = table[AIO_CONTEXT] as number;
  const high = table[AIO_CONTEXT + 1] as number;
  if (high >= 0) destroyAioContext(low, high);
  table.fill(-1, AIO_CONTEXT, OWN_DESCRIPTORS);
  let closed = 0;
  for (let at = 0; at < table.length; at++) {
    const descriptor = table[at] as number;
    if (descriptor < 0) continue;
    table[at] = -1;
    closeDescriptor(descriptor);
    closed++;
  }
  return closed;
}
