// poll(2): which of a few descriptors are ready. For threads that wait for one connection and little else, where an epoll
// set would have to be told of each change.

import { POLLFD_EVENTS, POLLFD_REVENTS, SIZEOF_POLLFD } from "./abi.ts";
import { type NativeLibrary, nativeLibrary } from "./native-library.ts";
import { NativeMemory } from "./native-memory.ts";

/** The table that one poll(2) looks at: filled anew for each wait. Belongs to the thread that made it. */
export class PollTable {
  /** How many entries there are. */
  length = 0;
  readonly #library: NativeLibrary = nativeLibrary();
  /** Where they lie. */
  readonly memory: NativeMemory;
  readonly #entries: DataView;

  /** Room for so many descriptors. @throws SystemError ENOMEM when the kernel has no memory for it */
  constructor(capacity: number) {
    this.memory = NativeMemory.allocate(capacity * SIZEOF_POLLFD);
    const { buffer, byteOffset, length } = this.memory.bytes;
    this.#entries = new DataView(buffer, byteOffset, length);
  }

  /** Adds a descriptor; its index is the former `length`. */
  add(descriptor: number, events: number): void {
    const at = this.length++ * SIZEOF_POLLFD;
    this.#entries.setInt32(at, descriptor, true);
    this.#entries.setInt16(at + POLLFD_EVENTS, events, true);
    this.#entries.setInt16(at + POLLFD_REVENTS, 0, true);
  }

  /** poll(2): how many are ready, or −errno. `timeoutMs` −1 waits for ever. */
  wait(timeoutMs: number): number {
    const at = this.memory.at(0, this.length * SIZEOF_POLLFD);
    const count = this.#library.poll(at, this.length, Math.ceil(timeoutMs));
    return count < 0 ? -(this.#library.errno[0] ?? 0) : count;
  }

  /** What the `index`-th is ready for; 0: nothing. */
  ready(index: number): number {
    return this.#entries.getInt16(index * SIZEOF_POLLFD + POLLFD_REVENTS, true);
  }

  /** Unmaps the table. */
  release(): void {
    this.memory.release();
  }
}
