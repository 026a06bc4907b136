// Where large receives go when whoever gets the bytes keeps them: straight into memory that is given away, so that
// nothing has to be copied out of a receive buffer.
//
// The kernel writes into a JavaScript heap's memory here, but only during a call that never waits: nothing of it is
// in the kernel's hands afterwards. Invariant: nothing before `offset` is ever written again.

import { Buffer } from "node:buffer";
import { freshSlab } from "../slabs.ts";
import { EAGAIN, EINTR } from "../sys/errno.ts";
import { addressOf } from "../sys/native-library.ts";
import type { StreamCalls } from "../sys/stream-calls.ts";
import type { DriverEvents, Handle } from "./driver.ts";

/** The part of a driver that says where its input lies. */
interface KeepingDriver {
  input: Buffer;
  inputKeepable: boolean;
  inputKept: boolean;
}

/** A receive into less is not worth a call. */
const LEAST_ROOM = 16_384;
const MOST_ROOM = 65_536;
/** From here on bytes that are kept are worth receiving in place. */
export const LARGE_RECEIVE = 8192;

/** Whether a receive that answered this has left everything in the kernel, and may answer otherwise next time. */
export function tookNothing(count: number): boolean {
  return count === -EAGAIN || count === -EINTR;
}

export class KeptInput {
  /** The slab in use. */
  bytes: Buffer = Buffer.alloc(0);
  /** Where the next bytes go. */
  offset = 0;
  /** How many bytes the last receive asked for. */
  asked = 0;
  readonly #calls: StreamCalls;
  /** Its memory (a slab is all of it), and where that lies. */
  #memory = this.bytes.buffer;
  #address = 0n;

  constructor(calls: StreamCalls) {
    this.#calls = calls;
  }

  /** Takes what the socket has to `offset`: how many bytes, 0 at the end, −errno. */
  receive(descriptor: number): number {
    // A slab that was detached in spite of all has no length any more: its address is somebody else's.
    if (this.bytes.length - this.offset < LEAST_ROOM) this.#renew();
    this.asked = Math.min(this.bytes.length - this.offset, MOST_ROOM);
    return this.#calls.receive(descriptor, this.#at(this.offset), this.asked);
  }

  /** Where bytes lie: what is written is mostly what was received last, and Node takes 0.1 µs to say where anything else is. */
  addressOf(bytes: Uint8Array): bigint {
    if (bytes.buffer !== this.#memory) return addressOf(bytes);
    return this.#at(bytes.byteOffset);
  }

  /** Delivers the `length` bytes that were received last as the input of `driver`; whether they were kept. */
  deliver(driver: KeepingDriver, events: DriverEvents, handle: Handle, length: number): boolean {
    const { input } = driver;
    driver.input = this.bytes;
    driver.inputKeepable = true;
    driver.inputKept = false;
    events.received(handle, length, this.offset);
    driver.input = input;
    driver.inputKeepable = false;
    // The next ones begin on a cache line of their own.
    if (driver.inputKept) this.offset = (this.offset + length + 63) & ~63;
    return driver.inputKept;
  }

  /** V8 makes this sum in place, where it calls its runtime for a bigint of a number above 2³¹: 12 ns instead of 67. */
  #at(offset: number): bigint {
    return BigInt.asUintN(64, this.#address + BigInt(offset | 0));
  }

  #renew(): void {
    this.bytes = freshSlab();
    this.#memory = this.bytes.buffer;
    this.#address = addressOf(this.bytes);
    this.offset = 0;
  }
}
