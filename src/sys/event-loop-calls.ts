// This thread's libuv loop, seen from outside: is there work, and until when may a thread sleep?

import { nativeLibrary } from "./native-library.ts";

/** Readable when libuv has an event to handle (uv_backend_fd). */
export function eventLoopDescriptor(): number {
  const library = nativeLibrary();
  return library.uv_backend_fd(library.eventLoop);
}

/** How long libuv could sleep, in ms from its own time: 0 when it has work, −1 for ever. */
export function eventLoopTimeout(): number {
  const library = nativeLibrary();
  return library.uv_backend_timeout(library.eventLoop);
}

/** Brings libuv's time up to date, as libuv does after each of its own waits. */
export function updateEventLoopTime(): void {
  const library = nativeLibrary();
  library.uv_update_time(library.eventLoop);
}
