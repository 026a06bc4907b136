// This thread's libuv loop, seen from outside: is there work, and until when may a thread sleep?

import { nativeLibrary } from "./native-library.ts";

/** Readable when libuv has an event to handle (uv_backend_fd). */
export function eventLoopDescriptor(): number {
  const library = nativeLibrary();
  return library.uv_backend_fd(library.eventLoop);
}

/** How long libuv could sleep from now on, in ms: 0 when it has work, −1 for ever. */
export function eventLoopTimeout(): number {
  const library = nativeLibrary();
  const timeout = library.uv_backend_timeout(library.eventLoop, 0n);
  if (timeout <= 0) return timeout;
  // It counts from libuv's own time, which stands still while libuv does not run. Without a timer nobody needs that time: Node
  // brings it up to date itself whenever one is set.
  library.uv_update_time(library.eventLoop, 0n);
  return library.uv_backend_timeout(library.eventLoop, 0n);
}
