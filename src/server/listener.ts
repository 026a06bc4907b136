// The listening socket: opened once, owned by the server, shared by its reactors.

import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { unlinkSync } from "node:fs";
import type { ListenTarget } from "../driver/driver.ts";
import { openListener } from "../driver/listening-socket.ts";
import type { Address } from "../sys/address.ts";
import { formatAddress } from "../sys/address.ts";
import { EADDRINUSE, ECONNREFUSED, SystemError } from "../sys/errno.ts";
import { closeDescriptor, connectSocket, localAddress, openSocket } from "../sys/socket-calls.ts";
import type { CheckedOptions } from "./options.ts";

/** A listening descriptor that this process owns. */
export interface SharedListener {
  readonly descriptor: number;
  readonly address: Address;
  /** Closes it, and removes a Unix socket's path. */
  close(): void;
}

/** Where the options say to listen, with a name resolved. @throws SystemError when the name is unknown */
export async function listenAddress(options: CheckedOptions): Promise<Address> {
  if (options.path !== undefined) return { family: "unix", path: options.path };
  const { host, port } = options;
  const kind = isIP(host.split("%", 1)[0] ?? host);
  if (kind !== 0) return { family: kind === 4 ? "ipv4" : "ipv6", host, port };
  const found = await lookup(host);
  return { family: found.family === 4 ? "ipv4" : "ipv6", host: found.address, port };
}

/** What a reactor that opens its own listening socket is told. */
export function ownTarget(address: Address, options: CheckedOptions): ListenTarget {
  return { address, backlog: options.backlog, options: options.socket };
}

/** Opens the listening socket. @throws SystemError (EADDRINUSE, EACCES, EADDRNOTAVAIL, …) */
export function openSharedListener(address: Address, options: CheckedOptions): SharedListener {
  let descriptor = openListener(address, options.backlog, options.socket, false);
  if (descriptor === -EADDRINUSE && removeStaleSocket(address)) {
    descriptor = openListener(address, options.backlog, options.socket, false);
  }
  if (descriptor < 0) throw new SystemError("listen on", descriptor, formatAddress(address));
  const bound = localAddress(descriptor);
  return {
    descriptor,
    address: typeof bound === "number" ? address : bound,
    close() {
      closeDescriptor(descriptor);
      if (isPath(address)) unlinkSync(address.path);
    },
  };
}

/** A Unix socket's path outlives a process that crashed: when nobody answers there, it is removed. */
function removeStaleSocket(address: Address): boolean {
  if (!isPath(address)) return false;
  const descriptor = openSocket("unix", true);
  if (descriptor < 0) return false;
  const answer = connectSocket(descriptor, address);
  closeDescriptor(descriptor);
  if (answer !== -ECONNREFUSED) return false;
  unlinkSync(address.path);
  return true;
}

function isPath(address: Address): address is Address & { readonly family: "unix" } {
  return address.family === "unix" && !address.path.startsWith("\0");
}
