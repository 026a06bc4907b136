// Whether a connection that the target has ended without a word may be replaced, instead of being an error: RFC 9112, section
// 9.5, lets a server close one at any time between two requests, and a request that was under way then meets a closed socket.

import { ECONNRESET, EPIPE } from "../sys/errno.ts";
import type { LoadConnection } from "./load-connection.ts";

/**
 * `result`: 0 or a negative errno, of a connection that ended between two answers. Takes back what was out when it may go on. False
 * for one that is held in silence (whether it is held is what is asked), and for a message that has been sent again before.
 */
export function mayGoOn(connection: LoadConnection, result: number): boolean {
  const closed = result === 0 || result === -ECONNRESET || result === -EPIPE;
  return closed && !connection.idle && connection.takeBackOnce();
}
