// One command as it was received: its arguments, as places in the received bytes.
//
// The twist: reading a command makes no object at all. A codec has one Request and fills it again for each command, and
// an argument becomes a string or a copy only where a command asks for it.
// So it is valid during the handler's call only, which is what `borrow: true` in the handlers' table allows.

const FIRST_CAPACITY = 16;
const LARGEST_KEPT_CAPACITY = 4096;
const NOTHING = Buffer.alloc(0);

/** Up to 15 digits are an exact number and need no BigInt. */
const SAFE_DIGITS = 15;
const INT64_MAXIMUM = 2n ** 63n - 1n;
const INT64_MINIMUM = -(2n ** 63n);

export class Request {
  /** Where the arguments lie. */
  bytes: Buffer = NOTHING;
  /** How many there are; the first is the command's name. */
  count = 0;
  /** Not empty: what was received is no command, for this reason; the connection has nothing more to say. */
  error = "";
  /** Argument i lies from `offsets[2i]` to `offsets[2i + 1]`. */
  offsets = new Int32Array(2 * FIRST_CAPACITY);

  /** Forgets the last command. */
  begin(bytes: Buffer): void {
    this.bytes = bytes;
    this.count = 0;
    this.error = "";
    if (this.offsets.length > 2 * LARGEST_KEPT_CAPACITY) {
      this.offsets = new Int32Array(2 * FIRST_CAPACITY);
    }
  }

  add(start: number, end: number): void {
    const at = 2 * this.count;
    if (at === this.offsets.length) {
      const larger = new Int32Array(2 * at);
      larger.set(this.offsets);
      this.offsets = larger;
    }
    this.offsets[at] = start;
    this.offsets[at + 1] = end;
    this.count++;
  }

  start(index: number): number {
    return this.offsets[2 * index] as number;
  }

  end(index: number): number {
    return this.offsets[2 * index + 1] as number;
  }

  /** One character a byte. */
  text(index: number): string {
    return this.bytes.toString("latin1", this.start(index), this.end(index));
  }

  /** Whether an argument is this word, in any case. `word` is upper-case letters only. */
  is(index: number, word: string): boolean {
    const start = this.start(index);
    if (this.end(index) - start !== word.length) return false;
    for (let at = 0; at < word.length; at++) {
      // Without its bit 5 a byte is an upper-case letter exactly when it was that letter in either case.
      if (((this.bytes[start + at] as number) & 0xdf) !== word.charCodeAt(at)) return false;
    }
    return true;
  }

  /** See `readInteger`. */
  integer(index: number): number | bigint | undefined {
    return readInteger(this.bytes, this.start(index), this.end(index));
  }

  /** A Request of its own that is safe to keep. */
  copy(): Request {
    const copy = new Request();
    const first = this.count === 0 ? 0 : this.start(0);
    const last = this.count === 0 ? 0 : this.end(this.count - 1);
    copy.bytes = Buffer.from(this.bytes.subarray(first, last));
    copy.error = this.error;
    for (let index = 0; index < this.count; index++) {
      copy.add(this.start(index) - first, this.end(index) - first);
    }
    return copy;
  }
}

/**
 * A signed 64-bit integer in the only form Redis takes: no sign but `-`, no space, no leading zero. Undefined when it
 * is none. A bigint only when it is too long for a number to be exact.
 */
export function readInteger(
  bytes: Uint8Array,
  start: number,
  end: number,
): number | bigint | undefined {
  const negative = bytes[start] === 0x2d;
  const first = negative ? start + 1 : start;
  const digits = end - first;
  if (digits < 1 || digits > 19) return undefined;
  if (bytes[first] === 0x30) return digits === 1 && !negative ? 0 : undefined;
  let value = 0;
  for (let at = first; at < end; at++) {
    const digit = (bytes[at] as number) - 0x30;
    if (digit < 0 || digit > 9) return undefined;
    value = value * 10 + digit;
  }
  if (digits <= SAFE_DIGITS) return negative ? -value : value;
  let exact = 0n;
  for (let at = first; at < end; at++) exact = exact * 10n + BigInt((bytes[at] as number) - 0x30);
  return int64(negative ? -exact : exact);
}

/** The value when 64 bits hold it. */
export function int64(value: bigint): bigint | undefined {
  return value >= INT64_MINIMUM && value <= INT64_MAXIMUM ? value : undefined;
}
