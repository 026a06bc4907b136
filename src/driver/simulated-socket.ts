// One end of a connection in the simulated network: what TCP does where programs notice.
//
// Bytes arrive in order and late; a sender waits when the reader does not read; closing with unread input resets; what is
// sent to a closed socket comes back as a reset; the bytes that arrived before an error are read before it.
//
// Invariant: `#inTransit` is the sum of what is under way to here in the present era; a stream that lost bytes never
// shows an end.

import { Buffer } from "node:buffer";
import type { Address } from "../sys/address.ts";
import { ECONNRESET, EPIPE, ETIMEDOUT } from "../sys/errno.ts";
import type { SimulatedNetwork } from "./simulated-network.ts";

/** Told when something can go on; may be told in vain. */
export interface SocketOwner {
  readable(): void;
  writable(): void;
}

export class SimulatedSocket {
  readonly local: Address;
  readonly remote: Address;
  /** Without one, what comes waits here. */
  owner: SocketOwner | undefined = undefined;
  /** As the option says, from one driver to the next. */
  resetsOnClose = false;
  readonly #network: SimulatedNetwork;
  #other: SimulatedSocket | undefined;
  #closed = false;
  // What comes in.
  readonly #unread: Buffer[] = [];
  #unreadBytes = 0;
  #inTransit = 0;
  #endArrived = false;
  /** Changes when what is under way to here is dropped: an arrival of an earlier era is none. */
  #era = 0;
  // What goes out.
  #shut = false;
  #lastArrivalMs = 0;
  #senderWaits = false;
  /** The errno that the connection broke with; told once, then a send is EPIPE and a receive the end. */
  #error = 0;
  #errorTold = false;

  constructor(network: SimulatedNetwork, local: Address, remote: Address) {
    this.#network = network;
    this.local = local;
    this.remote = remote;
    network.openSockets++;
  }

  join(other: SimulatedSocket): void {
    this.#other = other;
    other.#other = this;
  }

  get unreadBytes(): number {
    return this.#unreadBytes;
  }

  /** Whether a read has something to tell: bytes, the end, or an error. */
  get isReadable(): boolean {
    return this.#unreadBytes > 0 || this.#endArrived || this.#error > 0;
  }

  /** Takes as many bytes as the other side has room for (0: it must read first), or −errno. */
  write(bytes: Uint8Array): number {
    const other = this.#other;
    if (this.#error > 0) return this.#tellError(EPIPE);
    if (this.#shut || other === undefined) return this.#tellBrokenPipe();
    const count = Math.min(bytes.length, other.#room);
    if (count < bytes.length) {
      this.#senderWaits = true;
      this.#network.note("blockedSend");
    }
    if (count === 0) return 0;
    // A copy: what the sender does with its memory afterwards must not be seen at the other end.
    const copy = Buffer.from(bytes.subarray(0, count));
    const era = other.#era;
    other.#inTransit += count;
    this.#deliver(() => {
      if (other.#era === era) other.#arrive(copy);
    });
    return count;
  }

  /** Up to `most` bytes into `into`: their number, 0 at the end, −errno, or undefined when there is nothing. */
  read(into: Buffer, offset: number, most: number): number | undefined {
    if (this.#unreadBytes > 0) return this.#take(into, offset, most);
    if (this.#endArrived) return 0;
    if (this.#error > 0) return this.#tellError(0);
    return undefined;
  }

  /** The other side reads the end after what was written. */
  end(): void {
    const other = this.#other;
    // A connection that broke has no end to send.
    if (this.#shut || this.#error > 0 || other === undefined) return;
    this.#shut = true;
    const era = other.#era;
    this.#deliver(() => {
      if (other.#era !== era || other.#closed || other.#error > 0) return;
      other.#endArrived = true;
      other.owner?.readable();
    });
  }

  /** As close(2): what was written still arrives, unless a reset is asked for or bytes were left unread. */
  close(reset: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    this.owner = undefined;
    this.#network.openSockets--;
    if (reset || this.#unreadBytes > 0) this.#resetOther();
    else this.end();
    this.#dropIncoming();
  }

  /** The network breaks the connection, for both ends; what was not read yet may be lost with it. */
  breakOff(errno: number, loseUnread: boolean): void {
    const other = this.#other;
    if (loseUnread) this.#dropIncoming();
    this.#fail(errno);
    if (other === undefined) return;
    if (loseUnread) other.#dropIncoming();
    this.#network.clock.after(this.#network.latency(), () => other.#fail(ECONNRESET));
  }

  get #room(): number {
    return Math.max(this.#network.windowBytes - this.#inTransit - this.#unreadBytes, 0);
  }

  /** After the latency of a packet, but never before what was sent earlier in this direction. */
  #deliver(arrival: () => void): void {
    const { clock } = this.#network;
    const atMs = Math.max(clock.nowMs + this.#network.latency(), this.#lastArrivalMs);
    this.#lastArrivalMs = atMs;
    clock.at(atMs, arrival);
  }

  #arrive(bytes: Buffer): void {
    this.#inTransit -= bytes.length;
    if (this.#closed) return this.#resetOther();
    if (this.#error > 0) return;
    this.#unread.push(bytes);
    this.#unreadBytes += bytes.length;
    this.owner?.readable();
    const network = this.#network;
    if (network.happens("reset")) this.breakOff(ECONNRESET, network.random.chance(0.5));
    else if (network.happens("timeout")) this.breakOff(ETIMEDOUT, network.random.chance(0.5));
  }

  #take(into: Buffer, offset: number, most: number): number {
    let count = 0;
    for (let next = this.#unread[0]; next && count < most; next = this.#unread[0]) {
      const length = next.copy(into, offset + count, 0, Math.min(next.length, most - count));
      count += length;
      if (length === next.length) this.#unread.shift();
      else this.#unread[0] = next.subarray(length);
    }
    this.#unreadBytes -= count;
    this.#tellRoom();
    return count;
  }

  /** The window is open again: the other side hears of it a packet later. */
  #tellRoom(): void {
    const other = this.#other;
    if (other === undefined || !other.#senderWaits) return;
    other.#senderWaits = false;
    this.#network.clock.after(this.#network.latency(), () => other.owner?.writable());
  }

  #resetOther(): void {
    const other = this.#other;
    if (other === undefined) return;
    // What is still under way is overtaken and lost, as it is when a kernel sends a reset.
    other.#dropTransit();
    const errno = other.#endArrived ? EPIPE : ECONNRESET;
    this.#network.clock.after(this.#network.latency(), () => other.#fail(errno));
  }

  #fail(errno: number): void {
    if (this.#closed || this.#error > 0) return;
    this.#error = errno;
    const other = this.#other;
    if (other !== undefined) other.#dropTransit();
    this.owner?.readable();
    this.owner?.writable();
  }

  #tellError(afterwards: number): number {
    if (this.#errorTold) return afterwards === EPIPE ? this.#tellBrokenPipe() : -afterwards;
    this.#errorTold = true;
    return -this.#error;
  }

  #tellBrokenPipe(): number {
    this.#network.note("brokenPipe");
    return -EPIPE;
  }

  #dropTransit(): void {
    this.#era++;
    this.#inTransit = 0;
  }

  /** The end goes with the bytes: a stream that lost some must never look complete. */
  #dropIncoming(): void {
    this.#endArrived = false;
    this.#unread.length = 0;
    this.#unreadBytes = 0;
  }
}
