// Memory that the kernel may hold: mmapped, never part of a JavaScript heap, between two guard pages.
//
// Why: a Buffer's memory can be freed or moved while the kernel still writes into it (a Worker terminated in
// the middle of a receive). What is mapped here stays mapped until `release`, or until the thread is gone and another one cleans up.
// Invariant: every pointer + length pair that reaches the kernel comes from `at`, which checks the bounds.

import {
  MADV_DONTNEED,
  MAP_ANONYMOUS,
  MAP_NORESERVE,
  MAP_PRIVATE,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
} from "./abi.ts";
import { SystemError } from "./errno.ts";
import { type NativeLibrary, nativeLibrary } from "./native-library.ts";

export const PAGE = 4096;
/** munmap(2) of a mapping by its address: for cleaning up after a thread that is gone. */
export function unmapMemory(address: number, bytes: number): void {
  nativeLibrary().munmap(BigInt(address), BigInt(bytes));
}

/** Memory of a thread that is gone, by its address: 32-bit words, not to be touched once it is unmapped. */
export function viewWords(address: number, bytes: number): Int32Array {
  return new Int32Array(nativeLibrary().viewMemory(BigInt(address), bytes), 0, bytes >> 2);
}

/** Unmaps a NativeMemory of a thread that is gone, by its address. Only when nothing of the kernel's can still use it. */
export function unmapGuarded(address: number, bytes: number): void {
  unmapMemory(address - PAGE, bytes + 2 * PAGE);
}

const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

export class NativeMemory {
  /** All of it, as a Buffer: a live view. Must not be touched after `release`. */
  readonly bytes: Buffer;
  readonly length: number;
  /** The first byte's address. Linux user addresses have 47 bits: a number holds them exactly. */
  readonly address: number;
  readonly #library: NativeLibrary;
  #released = false;

  private constructor(library: NativeLibrary, address: bigint, length: number) {
    this.#library = library;
    this.address = Number(address);
    this.length = length;
    this.bytes = Buffer.from(library.viewMemory(address, length));
  }

  /**
   * Maps `length` bytes (rounded up to pages), zeroed; pages cost memory only once touched.
   * @throws SystemError ENOMEM when the kernel has no room
   */
  static allocate(length: number): NativeMemory {
    const library = nativeLibrary();
    const whole = Math.ceil(length / PAGE) * PAGE;
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    const outer = library.mmap(0n, BigInt(whole + 2 * PAGE), PROT_NONE, flags, -1, 0n);
    if (outer === MAP_FAILED) throw new SystemError("mmap", library.errno[0] ?? 0);
    const inner = outer + BigInt(PAGE);
    if (library.mprotect(inner, BigInt(whole), PROT_READ | PROT_WRITE) < 0) {
      const errno = library.errno[0] ?? 0;
      library.munmap(outer, BigInt(whole + 2 * PAGE));
      throw new SystemError("mprotect", errno);
    }
    return new NativeMemory(library, inner, whole);
  }

  /** The address of `offset`, for a call that touches `length` bytes from there. */
  at(offset: number, length: number): bigint {
    if (this.#released) throw new RangeError("native memory used after its release");
    // So that NaN, too, is out of bounds.
    if (!(offset >= 0 && length >= 0 && offset + length <= this.length)) {
      throw new RangeError(`${offset} + ${length} lies outside of ${this.length} bytes`);
    }
    return BigInt(this.address + offset);
  }

  /** Gives the pages of a range back to the system; they read as zero afterwards. */
  discard(offset: number, length: number): void {
    this.#library.madvise(this.at(offset, length), BigInt(length), MADV_DONTNEED);
  }

  /** Unmaps it. Only when no operation of the kernel can still use it; views on it must be gone. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    unmapGuarded(this.address, this.length);
  }
}
