// A server of node:net as a listener of the portable driver. node:net accepts whatever comes; what no one wants yet, or finds
// no slot, waits in here, unread and untold.
//
// Invariant: as many ARRIVED events are queued as `#announced` says, never more than there are connections in `#arrived`
// at the moment they were queued.

import { createServer, type ListenOptions, type Server, type Socket } from "node:net";
import type { Address } from "../sys/address.ts";
import { EBADF } from "../sys/errno.ts";
import type { SocketOptions } from "../sys/socket-calls.ts";
import type { Handle, ListenTarget } from "./driver.ts";
import { PortableConnection } from "./portable-connection.ts";
import { ACCEPT_FAILED, ARRIVED, CLOSED, LISTENING, type Owner } from "./portable-events.ts";
import { errnoOfError, internetAddress } from "./portable-words.ts";

/** More than that are reset, as a kernel refuses what its backlog cannot hold. */
const PARKED_MOST = 1024;

/** A server of node:net, and the connections that came while no one wanted them. */
export class PortableListener {
  readonly handle: Handle;
  closing = false;
  readonly #owner: Owner;
  readonly #server: Server;
  readonly #path: string | undefined;
  /** Accepted by libuv, not yet by the reactor; oldest first. */
  readonly #arrived: PortableConnection[] = [];
  /** How many ARRIVED events are queued. */
  #announced = 0;
  #wanted = false;
  #bound = false;

  constructor(owner: Owner, handle: Handle, target: Extract<ListenTarget, { address: Address }>) {
    const { address, backlog, options } = target;
    this.#owner = owner;
    this.handle = handle;
    this.#path = address.family === "unix" ? address.path : undefined;
    this.#server = createServer({
      allowHalfOpen: true,
      pauseOnConnect: true,
      noDelay: options.noDelay === true,
      keepAlive: Boolean(options.keepAlive),
      ...(options.keepAlive && { keepAliveInitialDelay: options.keepAlive.idleSeconds * 1000 }),
    });
    this.#server.on("listening", () => {
      this.#bound = true;
      owner.post(LISTENING, this, 0);
    });
    this.#server.on("error", (error) => {
      owner.post(this.#bound ? ACCEPT_FAILED : LISTENING, this, -errnoOfError(error));
    });
    this.#server.on("connection", (socket) => this.#arrive(socket, options.resetOnClose === true));
    this.#server.listen(listenOptions(address, backlog, options));
  }

  pause(): void {
    this.#wanted = false;
  }

  resume(): void {
    this.#wanted = true;
    while (this.#announced < this.#arrived.length) {
      this.#announced++;
      this.#owner.postFromVerb(ARRIVED, this, 0);
    }
  }

  /** What a queued ARRIVED stands for; undefined when the listener has been paused or closed since. */
  nextArrived(): PortableConnection | undefined {
    this.#announced--;
    return this.#wanted && !this.closing ? this.#arrived.shift() : undefined;
  }

  park(connection: PortableConnection): void {
    this.#arrived.unshift(connection);
  }

  close(_reset: boolean): void {
    this.closing = true;
    this.#server.close();
    // As the kernel does with what is queued on a socket that is closed.
    for (const connection of this.#arrived.splice(0)) connection.close(true);
    // The server's own 'close' waits for all its connections; the address is free already.
    this.#owner.postFromVerb(CLOSED, this, 0);
  }

  localAddress(): Address | number {
    if (this.#path !== undefined) return { family: "unix", path: this.#path };
    const name = this.#server.address();
    if (name === null || typeof name === "string") return -EBADF;
    return internetAddress(name.family, name.address, name.port);
  }

  #arrive(socket: Socket, resetOnClose: boolean): void {
    const connection = new PortableConnection(this.#owner, socket, false, this.#path);
    connection.resetOnClose = resetOnClose;
    if (this.closing || this.#arrived.length >= PARKED_MOST) return connection.close(true);
    this.#arrived.push(connection);
    if (!this.#wanted) return;
    this.#announced++;
    this.#owner.post(ARRIVED, this, 0);
  }
}

function listenOptions(address: Address, backlog: number, options: SocketOptions): ListenOptions {
  const common = { backlog, exclusive: true };
  if (address.family === "unix") return { ...common, path: address.path };
  const { host, port } = address;
  const reusePort = options.reusePort === true;
  return { ...common, host, port, reusePort, ipv6Only: options.ipv6Only === true };
}
