// epoll(7): one thin function per call; a count or −errno.

import { EPOLL_CLOEXEC } from "./abi.ts";
import { nativeAbi } from "./native-abi.ts";
import { type NativeLibrary, nativeLibrary } from "./native-library.ts";
import { NativeMemory } from "./native-memory.ts";

/** −1 as the kernel sees it in the lower half of a register. */
const FOR_EVER = 0xffff_ffffn;

/** One epoll instance and the memory its events arrive in. Belongs to the thread that made it. */
export class Epoll {
  readonly descriptor: number;
  /** Most events of one wait. */
  readonly capacity: number;
  readonly #library: NativeLibrary;
  readonly #abi = nativeAbi();
  /** Where events and arguments lie. */
  readonly memory: NativeMemory;
  /** 32-bit words of the events: mask and data lie on such borders, packed or not. */
  readonly #words: Int32Array;
  readonly #stride: number;
  readonly #dataAt: number;
  // Arguments of every wait.
  readonly #waitNumber = BigInt(this.#abi.SYS_epoll_pwait);
  readonly #descriptor: bigint;
  readonly #eventsAddress: bigint;
  readonly #most: bigint;
  readonly #controlAddress: bigint;
  readonly #control: DataView;

  /** @throws SystemError when the kernel has no memory for it */
  constructor(descriptor: number, capacity: number) {
    this.#library = nativeLibrary();
    this.descriptor = descriptor;
    this.capacity = capacity;
    const size = this.#abi.SIZEOF_EPOLL_EVENT;
    this.memory = NativeMemory.allocate((capacity + 1) * size);
    const { buffer, byteOffset } = this.memory.bytes;
    this.#words = new Int32Array(buffer, byteOffset, (capacity * size) >> 2);
    this.#stride = size >> 2;
    this.#dataAt = this.#abi.EPOLL_EVENT_DATA >> 2;
    this.#descriptor = BigInt(descriptor);
    this.#most = BigInt(capacity);
    this.#eventsAddress = this.memory.at(0, capacity * size);
    this.#control = new DataView(buffer, byteOffset + capacity * size, size);
    this.#controlAddress = this.memory.at(capacity * size, size);
  }

  /** epoll_ctl(2). `low` and `high` are the two halves of the event's data. */
  control(
    operation: number,
    descriptor: number,
    events: number,
    low: number,
    high: number,
  ): number {
    this.#control.setUint32(0, events, true);
    this.#control.setInt32(this.#abi.EPOLL_EVENT_DATA, low, true);
    this.#control.setInt32(this.#abi.EPOLL_EVENT_DATA + 4, high, true);
    const done = this.#library.syscallControl(
      this.#abi.SYS_epoll_ctl,
      this.descriptor,
      operation,
      descriptor,
      this.#controlAddress,
      0n,
      0n,
    );
    return done < 0 ? -(this.#library.errno[0] ?? 0) : 0;
  }

  /** epoll_pwait(2) without a mask: how many events, or −errno. `timeoutMs` −1 waits for ever. */
  wait(timeoutMs: number): number {
    const timeout = timeoutMs === 0 ? 0n : timeoutMs < 0 ? FOR_EVER : BigInt(timeoutMs);
    const { syscallWords, errno } = this.#library;
    const count = syscallWords(
      this.#waitNumber,
      this.#descriptor,
      this.#eventsAddress,
      this.#most,
      timeout,
      0n,
    );
    return count < 0 ? -(errno[0] as number) : count;
  }

  /** The event mask of the `index`-th event of the last wait. */
  events(index: number): number {
    return this.#words[index * this.#stride] as number;
  }

  /** The low half of the data registered for the `index`-th event. */
  low(index: number): number {
    return this.#words[index * this.#stride + this.#dataAt] as number;
  }

  /** The high half of that data. */
  high(index: number): number {
    return this.#words[index * this.#stride + this.#dataAt + 1] as number;
  }

  /** Unmaps the event memory; the descriptor is the caller's to close. */
  release(): void {
    this.memory.release();
  }
}

/** epoll_create1(2). */
export function openEpoll(): number {
  const library = nativeLibrary();
  const descriptor = library.epoll_create1(EPOLL_CLOEXEC);
  return descriptor < 0 ? -(library.errno[0] ?? 0) : descriptor;
}

/** read(2), the hot one: three arguments. */
export function readInto(descriptor: number, address: bigint, length: number): number {
  const library = nativeLibrary();
  const count = library.read(descriptor, address, length);
  return count < 0 ? -(library.errno[0] ?? 0) : count;
}

/** write(2). SIGPIPE is ignored by Node, so a dead peer gives −EPIPE. */
export function writeFrom(descriptor: number, address: bigint, length: number): number {
  const library = nativeLibrary();
  const count = library.write(descriptor, address, length);
  return count < 0 ? -(library.errno[0] ?? 0) : count;
}

/**
 * accept4(2) without the peer's address: a descriptor or −errno. `flags` is 0 or SOCK_NONBLOCK; close-on-exec is
 * the caller's to add.
 */
export function acceptFrom(descriptor: number, flags: number): number {
  const library = nativeLibrary();
  const { SYS_accept4 } = nativeAbi();
  const accepted = library.syscallPointers(SYS_accept4, descriptor, 0n, 0n, flags, 0n, 0n);
  return accepted < 0 ? -(library.errno[0] ?? 0) : accepted;
}
