// recv(2) and send(2) that never wait: the calls of every message, a count or −errno each.
//
// Twists:
// - Every argument is declared a pointer and handed over as a bigint. node:ffi looks up the type of each integer and holds
//   the value against its range, 70 to 240 ns a call; pointers pass for 5 to 13 (docs/decisions/0002). On x86-64 and arm64
//   both travel in the same registers, and the kernel looks at the lower half for an int. Bigints of small numbers are made
//   once.
// - They go through syscall(2), as recvfrom and sendto without an address: libc's own are points of cancellation, which
//   costs a process with threads 40 ns each.

import { MSG_DONTWAIT, MSG_NOSIGNAL } from "./abi.ts";
import { nativeAbi } from "./native-abi.ts";
import { type NativeLibrary, nativeLibrary } from "./native-library.ts";

/** Numbers up to this one are made bigints once: every descriptor, and every length of a block. */
const CACHED = 65_536;
const RECEIVE_FLAGS = BigInt(MSG_DONTWAIT);
const SEND_FLAGS = BigInt(MSG_DONTWAIT | MSG_NOSIGNAL);

/** The calls of one thread. */
export class StreamCalls {
  readonly #library: NativeLibrary = nativeLibrary();
  readonly #receiveNumber: bigint;
  readonly #sendNumber: bigint;
  readonly #bigints: (bigint | undefined)[] = new Array(CACHED + 1);

  /** @throws Error where there are no native calls */
  constructor() {
    const { SYS_recvfrom, SYS_sendto } = nativeAbi();
    this.#receiveNumber = BigInt(SYS_recvfrom);
    this.#sendNumber = BigInt(SYS_sendto);
  }

  /** Into `length` bytes at `address`; 0 is the end of the stream. */
  receive(descriptor: number, address: bigint, length: number): number {
    const { syscallWords, errno } = this.#library;
    const count = syscallWords(
      this.#receiveNumber,
      this.#bigint(descriptor),
      address,
      this.#bigint(length),
      RECEIVE_FLAGS,
      0n,
    );
    return count < 0 ? -(errno[0] as number) : count;
  }

  /** Of `length` bytes at `address`. */
  send(descriptor: number, address: bigint, length: number): number {
    const { syscallWords, errno } = this.#library;
    const count = syscallWords(
      this.#sendNumber,
      this.#bigint(descriptor),
      address,
      this.#bigint(length),
      SEND_FLAGS,
      0n,
    );
    return count < 0 ? -(errno[0] as number) : count;
  }

  #bigint(value: number): bigint {
    if (value > CACHED) return BigInt(value);
    this.#bigints[value] ??= BigInt(value);
    return this.#bigints[value] as bigint;
  }
}
