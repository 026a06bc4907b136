// The listening socket: opened once, owned by the server, shared by its reactors.

import { lookup } from "node:dns/promises";
import { once } from "node:events";
import { connect, createServer, isIP } from "node:net";
import type { ListenTarget } from "../driver/driver.ts";
import { openListener } from "../driver/listening-socket.ts";
import type { Address, InternetAddress } from "../sys/address.ts";
import { formatAddress } from "../sys/address.ts";
import { EADDRINUSE, ECONNREFUSED, SystemError } from "../sys/errno.ts";
import {
  closeDescriptor,
  connectSocket,
  localAddress,
  openSocket,
  shutdownBoth,
} from "../sys/socket-calls.ts";
import type { CheckedOptions } from "./options.ts";
import { BoundPath, hasPath, removeSocket } from "./socket-path.ts";

/** A listening descriptor that this process owns. */
export interface SharedListener {
  readonly descriptor: number;
  readonly address: Address;
  /**
   * Connects are refused from here on, what the kernel has queued is reset, and a Unix socket's path is free for another. The
   * descriptor stays: threads may still be about to use its number.
   */
  stop(): void;
  /** Stops, and closes it: once no thread has it any more. */
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

/**
 * For reactors that open listening sockets of their own. Several with SO_REUSEPORT share a port, also with another
 * process of the same user, and nobody notices: so first one without it must have the port for itself. A Unix
 * socket's path that nobody answers at is removed. @throws SystemError EADDRINUSE
 */
export async function claimAddress(address: Address): Promise<void> {
  if (address.family !== "unix") {
    if (address.port !== 0) await assertUnused(address);
  } else if (hasPath(address) && (await answers(address.path)) === "ECONNREFUSED") {
    removeSocket(address.path);
  }
}

async function assertUnused(address: InternetAddress): Promise<void> {
  const server = createServer();
  try {
    server.listen({ host: address.host, port: address.port, exclusive: true });
    await once(server, "listening");
  } catch (error) {
    if (errorCode(error) !== "EADDRINUSE") throw error;
    throw new SystemError("listen on", -EADDRINUSE, formatAddress(address));
  } finally {
    server.close();
  }
}

/** Undefined when somebody does, else the error's code. */
async function answers(path: string): Promise<string | undefined> {
  const socket = connect({ path });
  try {
    await once(socket, "connect");
    return undefined;
  } catch (error) {
    return errorCode(error);
  } finally {
    socket.destroy();
  }
}

function errorCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error ? String(error.code) : undefined;
}

/** Opens the listening socket. @throws SystemError (EADDRINUSE, EACCES, EADDRNOTAVAIL, …) */
export function openSharedListener(address: Address, options: CheckedOptions): SharedListener {
  let descriptor = openListener(address, options.backlog, options.socket, false);
  if (descriptor === -EADDRINUSE && removeStaleSocket(address)) {
    descriptor = openListener(address, options.backlog, options.socket, false);
  }
  if (descriptor < 0) throw new SystemError("listen on", descriptor, formatAddress(address));
  const bound = localAddress(descriptor);
  const path = hasPath(address) ? new BoundPath(address.path) : undefined;
  let stopped = false;
  const stop = () => {
    if (stopped) return;
    stopped = true;
    shutdownBoth(descriptor);
    path?.remove();
  };
  return {
    descriptor,
    address: typeof bound === "number" ? address : bound,
    stop,
    close() {
      stop();
      closeDescriptor(descriptor);
    },
  };
}

/** A Unix socket's path outlives a process that crashed: when nobody answers there, it is removed. */
function removeStaleSocket(address: Address): boolean {
  if (!hasPath(address)) return false;
  const descriptor = openSocket("unix", true);
  if (descriptor < 0) return false;
  const answer = connectSocket(descriptor, address);
  closeDescriptor(descriptor);
  // Of a file that is no socket the kernel says the same.
  return answer === -ECONNREFUSED && removeSocket(address.path);
}
