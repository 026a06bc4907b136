// The addresses that a kernel would take, checked without one: for the drivers that have no sockaddr to write.

import { Buffer } from "node:buffer";
import { isIPv4, isIPv6 } from "node:net";
import { type Address, AddressError } from "../sys/address.ts";

/** As sun_path of Linux, without the NUL at its end. */
const UNIX_PATH_BYTES = 107;

/** @throws AddressError for a host that is not numeric, a port out of range, or a path of no or over 107 bytes */
export function assertAddress(address: Address): void {
  if (address.family === "unix") return assertPath(address.path);
  const { family, host, port } = address;
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new AddressError(`port ${port} is not between 0 and 65535`);
  }
  if (family === "ipv4" ? !isIPv4(host) : !isIPv6(host)) {
    throw new AddressError(`${JSON.stringify(host)} is not a numeric ${family} address`);
  }
}

function assertPath(path: string): void {
  const length = Buffer.byteLength(path);
  if (length >= 1 && length <= UNIX_PATH_BYTES) return;
  throw new AddressError(
    `a Unix socket's path has 1 to ${UNIX_PATH_BYTES} bytes, this one has ${length}`,
  );
}
