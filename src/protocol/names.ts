// What has a name, looked up by the bytes that a peer sent: without a string, which costs three times as much to make and to
// hash as the bytes do to compare.
//
// Names are grouped by their length and three of their bytes; within a group, which is as large as our own names make it, they are
// compared byte by byte. So no name of a peer's becomes a key of anything.

import { Buffer } from "node:buffer";

interface Named<Value> {
  readonly bytes: Buffer;
  readonly value: Value;
}

export class Names<Value> {
  readonly #groups = new Map<number, Named<Value>[]>();

  /** Of two with the same name the first is found. */
  add(name: string, value: Value): void {
    const bytes = Buffer.from(name);
    const key = groupOf(bytes, 0, bytes.length);
    const group = this.#groups.get(key);
    if (group === undefined) this.#groups.set(key, [{ bytes, value }]);
    else group.push({ bytes, value });
  }

  /** Whose name lies at `[start, end)`. */
  at(bytes: Buffer, start: number, end: number): Value | undefined {
    const group = this.#groups.get(groupOf(bytes, start, end));
    if (group === undefined) return undefined;
    for (const named of group) if (isSame(named.bytes, bytes, start, end)) return named.value;
    return undefined;
  }
}

function groupOf(bytes: Buffer, start: number, end: number): number {
  const length = end - start;
  if (length === 0) return 0;
  const first = bytes[start] as number;
  const middle = bytes[start + (length >>> 1)] as number;
  const last = bytes[end - 1] as number;
  return length ^ (first << 8) ^ (middle << 16) ^ (last << 24);
}

function isSame(name: Buffer, bytes: Buffer, start: number, end: number): boolean {
  if (name.length !== end - start) return false;
  for (let n = 0; n < name.length; n++) if (name[n] !== bytes[start + n]) return false;
  return true;
}
