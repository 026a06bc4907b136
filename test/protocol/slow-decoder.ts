// The slow and obvious decoder: the specification read aloud, over an array of bytes, one function per table. It shares
// nothing with the fast one but the numbers of the frame types, and must agree with it on every input.

/** Frames as describeFrame shows them, and how it ended. */
export interface Decoded {
  readonly frames: readonly Record<string, unknown>[];
  /** Bytes of a frame that is not whole. */
  readonly rest: number;
  /** The GOAWAY code of the first mistake. */
  readonly error: number | undefined;
}

const PROTOCOL = 65;
const FRAME_SIZE = 66;
const NAMES = new Map([
  [1, "HELLO"],
  [2, "WELCOME"],
  [3, "AUTH"],
  [4, "PING"],
  [5, "GOAWAY"],
  [6, "CREDIT"],
  [7, "ACK"],
  [16, "OPEN"],
  [17, "DATA"],
  [18, "MSG"],
  [19, "ERROR"],
  [20, "CANCEL"],
]);

const STRICT_UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

class Mistake extends Error {
  readonly goaway: number;
  constructor(goaway: number) {
    super(`mistake ${goaway}`);
    this.goaway = goaway;
  }
}

/** Takes bytes off the front of a list. */
class Bytes {
  list: number[];
  constructor(list: number[]) {
    this.list = list;
  }
  /** By a loop, which is six times as fast as spreading a typed array. */
  static of(bytes: Uint8Array, from: number, to: number): Bytes {
    const list: number[] = [];
    for (let at = from; at < to; at++) list.push(bytes[at] as number);
    return new Bytes(list);
  }
  take(count: number): number[] {
    if (count > this.list.length) throw new Mistake(PROTOCOL);
    return this.list.splice(0, count);
  }
  uint(count: number): number {
    return this.take(count).reduceRight((sum, byte) => sum * 256 + byte, 0);
  }
  text(count: number): string {
    const bytes = Uint8Array.from(this.take(count));
    try {
      return STRICT_UTF8.decode(bytes);
    } catch {
      // Not UTF-8: the only reason there is.
      throw new Mistake(PROTOCOL);
    }
  }
  hex(count = this.list.length): string {
    return Buffer.from(this.take(count)).toString("hex");
  }
  /** `count` bytes as a list of their own. */
  part(count: number): Bytes {
    return new Bytes(this.take(count));
  }
  tlvs(known: (key: number) => boolean): Record<string, unknown>[] {
    const found: Record<string, unknown>[] = [];
    while (this.list.length > 0) {
      const word = this.uint(2);
      const value = this.hex(this.uint(2));
      const critical = word >= 0x8000;
      const key = word % 0x8000;
      if (known(key)) {
        if (found.some((one) => one.key === key)) throw new Mistake(PROTOCOL);
        found.push(critical ? { key, critical, value } : { key, value });
      } else if (critical) throw new Mistake(PROTOCOL);
    }
    return found;
  }
}

export function decodeSlowly(input: Uint8Array, mostBytes: number): Decoded {
  let rest = input;
  const frames: Record<string, unknown>[] = [];
  while (rest.length >= 8) {
    const header = Bytes.of(rest, 0, 8);
    const length = header.uint(3);
    const type = header.uint(1);
    const stream = header.uint(3);
    const flags = header.uint(1);
    if (length > mostBytes) return { frames, rest: rest.length, error: FRAME_SIZE };
    if (rest.length < 8 + length) break;
    const payload = Bytes.of(rest, 8, 8 + length);
    rest = rest.subarray(8 + length);
    try {
      const fields = decodePayload(type, flags, payload);
      frames.push({ frame: NAMES.get(type) ?? String(type), stream, flags, ...fields });
    } catch (error) {
      if (!(error instanceof Mistake)) throw error;
      return { frames, rest: rest.length, error: error.goaway };
    }
  }
  return { frames, rest: rest.length, error: undefined };
}

function decodePayload(type: number, flags: number, payload: Bytes): Record<string, unknown> {
  const helloKey = (key: number) => key >= 1 && key <= 19;
  const metaKey = (key: number) => (key >= 1 && key <= 7) || key >= 0x4000;
  switch (NAMES.get(type)) {
    case "HELLO": {
      const fixed = payload.part(4);
      const versions = { version_min: fixed.uint(1), version_max: fixed.uint(1) };
      return { ...versions, tlvs: payload.tlvs(helloKey) };
    }
    case "WELCOME": {
      const fixed = payload.part(4);
      return { version: fixed.uint(1), tlvs: payload.tlvs(helloKey) };
    }
    case "AUTH": {
      const fixed = payload.part(4);
      return { method: fixed.uint(1), step: fixed.uint(1), data: payload.hex() };
    }
    case "PING":
      if (payload.list.length !== 8) throw new Mistake(PROTOCOL);
      return { data: payload.hex() };
    case "GOAWAY": {
      const fixed = payload.part(16);
      const code = fixed.uint(2);
      fixed.uint(2);
      return {
        code,
        last_open: fixed.uint(4),
        drain_ms: fixed.uint(4),
        reconnect_ms: fixed.uint(4),
        tlvs: payload.tlvs((key) => [1, 2, 3, 8].includes(key)),
      };
    }
    case "CREDIT":
      if (payload.list.length !== 4) throw new Mistake(PROTOCOL);
      return { add: payload.uint(4) };
    case "ACK":
      if (payload.list.length !== 4) throw new Mistake(PROTOCOL);
      return { seq: payload.uint(4) };
    case "OPEN": {
      const seq = flags & 8 ? { seq: payload.uint(4) } : {};
      const fixed = payload.part(16);
      const [kind, codec, route_id] = [fixed.uint(1), fixed.uint(1), fixed.uint(2)];
      const [deadline_ms, credit] = [fixed.uint(4), fixed.uint(4)];
      const [nameLength, metaLength] = [fixed.uint(2), fixed.uint(2)];
      if (nameLength > 255 || metaLength > 8192) throw new Mistake(PROTOCOL);
      const name = payload.part(nameLength);
      const meta = payload.part(metaLength);
      return {
        ...seq,
        kind,
        codec,
        route_id,
        deadline_ms,
        credit,
        name: name.text(nameLength),
        meta: meta.tlvs(metaKey),
        body: payload.hex(),
      };
    }
    case "MSG": {
      const fixed = payload.part(8);
      const topicLength = fixed.uint(2);
      if (topicLength > 255) throw new Mistake(PROTOCOL);
      const numbers = { dropped: fixed.uint(2), seq: fixed.uint(4) };
      return { ...numbers, topic: payload.text(topicLength), body: payload.hex() };
    }
    case "ERROR": {
      const fixed = payload.part(12);
      const numbers = { code: fixed.uint(2), eflags: fixed.uint(2), retry_after_ms: fixed.uint(4) };
      const textLength = fixed.uint(2);
      if (textLength > 1024) throw new Mistake(PROTOCOL);
      return { ...numbers, message: payload.text(textLength), detail: payload.hex() };
    }
    case "CANCEL":
      if (payload.list.length !== 4) throw new Mistake(PROTOCOL);
      return { code: payload.uint(2) };
    default:
      return { body: payload.hex() };
  }
}
