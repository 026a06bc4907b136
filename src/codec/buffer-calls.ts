// Calls of Node's Buffer that its published types leave out, each behind one typed function.
//
// Why: they are the cheapest way to search and to read text in a part of a buffer. The input buffer is used again and
// again: behind the received bytes lie old ones, and a search that runs into them costs time that no peer has paid for
// (`end` bounds it without a view, which costs 25 ns), or finds a newline that is not there.
// Invariant: nothing at or behind `end` is looked at.

interface FullBuffer {
  indexOf(value: number | Uint8Array, start: number, end: number): number;
  utf8Slice(start: number, end: number): string;
  latin1Slice(start: number, end: number): string;
}

/** Where `value` (a byte, or some) lies wholly within `start` to `end`, or -1. */
export function find(
  bytes: Buffer,
  value: number | Uint8Array,
  start: number,
  end: number,
): number {
  const found = (bytes as unknown as FullBuffer).indexOf(value, start, end);
  // Node before 26.10 does not know `end` and may find it further on.
  const width = typeof value === "number" ? 1 : value.length;
  return found + width > end ? -1 : found;
}

/** The text from `start` to `end`; what is not UTF-8 becomes U+FFFD. */
export function utf8(bytes: Buffer, start: number, end: number): string {
  return (bytes as unknown as FullBuffer).utf8Slice(start, end);
}

/** The text from `start` to `end`, each byte one character (U+0000 to U+00FF). */
export function latin1(bytes: Buffer, start: number, end: number): string {
  return (bytes as unknown as FullBuffer).latin1Slice(start, end);
}
