// What node:net says, in the words of the contract: addresses and errnos.

import type { Address } from "../sys/address.ts";
import { ECONNRESET, ENOTCONN, EPIPE, errnoOf } from "../sys/errno.ts";

export function internetAddress(
  family: string | undefined,
  host: string | undefined,
  port: number | undefined,
): Address | number {
  if (host === undefined || port === undefined) return -ENOTCONN;
  return { family: family === "IPv6" ? "ipv6" : "ipv4", host, port };
}

/** What the reading side is told: node:net ends it with the error of a write, which no read would ever give. */
export function brokenBy(error: Error): number {
  const byWrite = "syscall" in error && error.syscall === "write";
  return byWrite ? ECONNRESET : errnoOfError(error);
}

/** Streams report some ends under names of their own; to the peer's kernel they are all a write on a dead socket. */
export function errnoOfError(error: Error): number {
  const code = "code" in error && typeof error.code === "string" ? error.code : undefined;
  return code?.startsWith("ERR_") ? EPIPE : errnoOf(code);
}
