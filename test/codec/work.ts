// Counts what a piece of code makes Node's buffers do: bytes copied, looked at, allocated. Work, not time: the same on
// every machine and in every run.

export interface Work {
  copied: number;
  searched: number;
  allocated: number;
  /** The part of it that may lie in Node's shared pool. */
  pooled: number;
  /** The memory allocated outside of the pool; weak, so that a test sees whether it is still held. */
  readonly owned: WeakRef<ArrayBufferLike>[];
}

interface Searching {
  indexOf(value: number | Uint8Array, start?: number, end?: number): number;
}

/** The work of `run`, which must be synchronous. */
export function countWork(run: () => void): Work {
  const work: Work = { copied: 0, searched: 0, pooled: 0, allocated: 0, owned: [] };
  const { copy, indexOf } = Buffer.prototype as Buffer & Searching;
  const { allocUnsafe, allocUnsafeSlow } = Buffer;
  Object.assign(Buffer.prototype, {
    copy(this: Buffer, target: Buffer, at: number, start: number, end: number) {
      work.copied += end - start;
      return copy.call(this, target, at, start, end);
    },
    indexOf(this: Buffer, value: number | Uint8Array, start = 0, end = this.length) {
      const found = indexOf.call(this, value, start, end);
      const width = typeof value === "number" ? 1 : value.length;
      work.searched += found < 0 ? end - start : found + width - start;
      return found;
    },
  });
  Object.assign(Buffer, {
    allocUnsafe(size: number) {
      work.allocated += size;
      work.pooled += size;
      return allocUnsafe(size);
    },
    allocUnsafeSlow(size: number) {
      const buffer = allocUnsafeSlow(size);
      work.allocated += size;
      work.owned.push(new WeakRef(buffer.buffer));
      return buffer;
    },
  });
  try {
    run();
  } finally {
    Object.assign(Buffer.prototype, { copy, indexOf });
    Object.assign(Buffer, { allocUnsafe, allocUnsafeSlow });
  }
  return work;
}
