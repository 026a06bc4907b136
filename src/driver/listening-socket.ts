// A listening socket from nothing: socket, options, bind, listen.

import type { Address } from "../sys/address.ts";
import {
  assertAddress,
  bindSocket,
  closeDescriptor,
  listenSocket,
  openSocket,
  type SocketOptions,
  setSocketOptions,
} from "../sys/socket-calls.ts";

/** Its descriptor, or −errno with nothing left open. @throws AddressError for an address that is none */
export function openListener(
  address: Address,
  backlog: number,
  options: SocketOptions,
  nonBlocking: boolean,
): number {
  assertAddress(address);
  const descriptor = openSocket(address.family, nonBlocking);
  if (descriptor < 0) return descriptor;
  let failed = setSocketOptions(descriptor, address.family, options);
  if (failed === 0) failed = bindSocket(descriptor, address);
  if (failed === 0) failed = listenSocket(descriptor, backlog);
  if (failed === 0) return descriptor;
  closeDescriptor(descriptor);
  return failed;
}
