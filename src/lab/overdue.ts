// Who has waited longer than the time-out: for a connection, for an answer, or to be rid of what it sends.

import { CONNECTING, type LoadConnection, OPEN } from "./load-connection.ts";

export interface Overdue {
  readonly code: "CONNECT_TIMEOUT" | "TIMEOUT";
  readonly detail: string;
}

/** Undefined: it has time left, or nothing to wait for. */
export function overdue(
  connection: LoadConnection,
  nowMs: number,
  timeoutMs: number,
): Overdue | undefined {
  const limit = nowMs - timeoutMs;
  if (connection.state === CONNECTING && connection.askedMs < limit) {
    return { code: "CONNECT_TIMEOUT", detail: `${timeoutMs} ms` };
  }
  if (connection.state !== OPEN) return undefined;
  const silent = connection.inFlight > 0 && connection.oldestLeftMs < limit;
  const stuck = connection.sending && connection.sendingSinceMs < limit;
  if (!silent && !stuck) return undefined;
  return { code: "TIMEOUT", detail: `${timeoutMs} ms, ${unanswered(connection)}` };
}

export function unanswered({ outstanding }: LoadConnection): string {
  return outstanding === 1 ? "1 message unanswered" : `${outstanding} messages unanswered`;
}
