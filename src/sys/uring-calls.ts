// io_uring(7): setup, enter and register as −errno functions, and the memory that ring and kernel share.

import {
  GETEVENTS_ARG_TS,
  IORING_ENTER_EXT_ARG,
  IORING_ENTER_GETEVENTS,
  IORING_REGISTER_PBUF_RING,
  MAP_POPULATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
  SIZEOF_GETEVENTS_ARG,
  SIZEOF_IO_URING_BUF_REG,
  SIZEOF_IO_URING_PARAMS,
} from "./abi.ts";
import { SystemError } from "./errno.ts";
import { nativeAbi } from "./native-abi.ts";
import { type NativeLibrary, nativeLibrary } from "./native-library.ts";
import { NativeMemory, PAGE } from "./native-memory.ts";

const MAP_FAILED = 0xffff_ffff_ffff_ffffn;
const TIMESPEC_AT = 64;
const GETEVENTS = BigInt(IORING_ENTER_GETEVENTS);

export interface RingSetup {
  readonly descriptor: number;
  /** struct io_uring_params as the kernel filled it. */
  readonly params: DataView;
}

/** io_uring_setup(2): `prepare` fills the parameters. The descriptor is close-on-exec by the kernel's own rule. */
export function setupRing(
  entries: number,
  prepare: (params: DataView) => void,
): RingSetup | number {
  const library = nativeLibrary();
  const memory = NativeMemory.allocate(PAGE);
  const { buffer, byteOffset } = memory.bytes;
  prepare(new DataView(buffer, byteOffset, SIZEOF_IO_URING_PARAMS));
  const at = memory.at(0, SIZEOF_IO_URING_PARAMS);
  const number = nativeAbi().SYS_io_uring_setup;
  const descriptor = library.syscallPointers(number, entries, at, 0n, 0, 0n, 0n);
  const errno = library.errno[0] ?? 0;
  const params = new DataView(buffer.slice(byteOffset, byteOffset + SIZEOF_IO_URING_PARAMS));
  memory.release();
  return descriptor < 0 ? -errno : { descriptor, params };
}

/** A mapping of a ring's descriptor; unmap it only after the descriptor is closed. */
export class RingMapping {
  readonly buffer: ArrayBuffer;
  readonly #library: NativeLibrary;
  readonly #address: bigint;
  readonly length: number;

  /** @throws SystemError when it cannot be mapped */
  constructor(descriptor: number, offset: number, length: number) {
    this.#library = nativeLibrary();
    this.length = length;
    const protection = PROT_READ | PROT_WRITE;
    const flags = MAP_SHARED | MAP_POPULATE;
    const size = BigInt(length);
    this.#address = this.#library.mmap(0n, size, protection, flags, descriptor, BigInt(offset));
    if (this.#address === MAP_FAILED) throw new SystemError("mmap", this.#library.errno[0] ?? 0);
    this.buffer = this.#library.viewMemory(this.#address, length);
  }

  get address(): number {
    return Number(this.#address);
  }

  release(): void {
    this.#library.munmap(this.#address, BigInt(this.length));
  }
}

/** Enters one ring: the only call on io_uring's hot path. */
export class RingEntrance {
  readonly #library = nativeLibrary();
  readonly #number = nativeAbi().SYS_io_uring_enter;
  readonly #descriptor: number;
  /** Number and descriptor as words. */
  readonly #words: readonly [bigint, bigint];
  /** Where the arguments lie. */
  readonly memory = NativeMemory.allocate(PAGE);
  readonly #argument: bigint;
  readonly #timespec: BigInt64Array;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
    this.#words = [BigInt(this.#number), BigInt(descriptor)];
    const { bytes } = this.memory;
    this.#timespec = new BigInt64Array(bytes.buffer, bytes.byteOffset + TIMESPEC_AT, 2);
    const timespec = this.memory.at(TIMESPEC_AT, 16);
    bytes.writeBigUInt64LE(timespec, GETEVENTS_ARG_TS);
    this.#argument = this.memory.at(0, SIZEOF_GETEVENTS_ARG);
  }

  /** Submits, runs the kernel's deferred work, does not wait. The number submitted, or −errno. */
  poll(submit: number): number {
    return this.#enter(submit, 0n, GETEVENTS);
  }

  /** Submits and waits for one completion, without end or for `timeoutMs`: then −ETIME. */
  wait(submit: number, timeoutMs: number): number {
    if (timeoutMs < 0) return this.#enter(submit, 1n, GETEVENTS);
    const seconds = Math.floor(timeoutMs / 1000);
    this.#timespec[0] = BigInt(seconds);
    this.#timespec[1] = BigInt(Math.round((timeoutMs - seconds * 1000) * 1e6));
    const { syscall, errno } = this.#library;
    const flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
    const size = BigInt(SIZEOF_GETEVENTS_ARG);
    const done = syscall(this.#number, this.#descriptor, submit, 1, flags, this.#argument, size);
    return done < 0 ? -(errno[0] ?? 0) : done;
  }

  /** Submits only. */
  submit(submit: number): number {
    return this.#enter(submit, 0n, 0n);
  }

  #enter(submit: number, complete: bigint, flags: bigint): number {
    const { syscallWords, errno } = this.#library;
    const [number, descriptor] = this.#words;
    const done = syscallWords(number, descriptor, BigInt(submit), complete, flags, 0n);
    return done < 0 ? -(errno[0] ?? 0) : done;
  }

  release(): void {
    this.memory.release();
  }
}

/** IORING_REGISTER_PBUF_RING: 0 or −errno (−EINVAL on kernels before 5.19). `entries` is a power of two. */
export function registerBufferRing(
  descriptor: number,
  address: bigint,
  entries: number,
  group: number,
): number {
  const library = nativeLibrary();
  const memory = NativeMemory.allocate(PAGE);
  memory.bytes.writeBigUInt64LE(address, 0);
  memory.bytes.writeUInt32LE(entries, 8);
  memory.bytes.writeUInt16LE(group, 12);
  const done = library.syscallPointers(
    nativeAbi().SYS_io_uring_register,
    descriptor,
    BigInt(IORING_REGISTER_PBUF_RING),
    memory.at(0, SIZEOF_IO_URING_BUF_REG),
    1,
    0n,
    0n,
  );
  const errno = library.errno[0] ?? 0;
  memory.release();
  return done < 0 ? -errno : 0;
}
