// An endless tape of requests: they are made once, laid in the output memory one behind the other, and sent from there
// again and again without a copy. Several that leave together are one piece of the tape, and so one send.
//
// Each connection begins at a place of its own, so that an answer which belongs to another connection does not look right.
// Invariant: request n lies at [ends[n − 1], ends[n]) of the output memory, the first at 0.

import type { Random } from "../../driver/random.ts";
import type { Sizes } from "../sizes.ts";

/** Small enough to stay in a processor's cache while it is sent again and again. */
const TAPE_BYTES = 256 * 1024;
/** Enough that a distribution is well represented. */
const LEAST_REQUESTS = 512;
const MOST_REQUESTS = 8192;
const MOST_TAPE_BYTES = 64 * 1024 * 1024;
/** Most bytes of one send. */
const PIECE_BYTES = 256 * 1024;
const MIB = 1024 * 1024;

/** Where a connection is on the tape. */
export interface Place {
  /** The next request to be sent. */
  request: number;
  /** The next request whose answer is awaited. */
  answer: number;
}

export class Tape {
  readonly count: number;
  readonly outputBytes: number;
  readonly batch = { offset: 0, length: 0 };
  readonly #ends: Uint32Array;
  readonly #requests: Buffer;

  /** Of these requests. @throws RangeError without any */
  constructor(requests: readonly Uint8Array[]) {
    if (requests.length === 0) throw new RangeError("a tape has at least one request");
    this.count = requests.length;
    this.#requests = Buffer.concat(requests);
    this.outputBytes = Math.ceil(this.#requests.length / MIB) * MIB;
    this.#ends = new Uint32Array(requests.length);
    let end = 0;
    requests.forEach((request, index) => {
      end += request.length;
      this.#ends[index] = end;
    });
  }

  /** A tape of as many requests as make sense for their sizes. */
  static fill(sizes: Sizes, make: () => Uint8Array): Tape {
    const wanted = Math.ceil(TAPE_BYTES / sizes.mean);
    const least = sizes.least === sizes.most ? 2 : LEAST_REQUESTS;
    const count = Math.min(Math.max(wanted, least), MOST_REQUESTS);
    const requests: Uint8Array[] = [];
    let bytes = 0;
    while (requests.length < count && (requests.length < 2 || bytes < MOST_TAPE_BYTES)) {
      const request = make();
      requests.push(request);
      bytes += request.length;
    }
    return new Tape(requests);
  }

  /** All requests, one behind the other. */
  get bytes(): Buffer {
    return this.#requests;
  }

  attach(output: Buffer): void {
    this.#requests.copy(output);
  }

  /** Spread over the tape, so that neighbours have nothing in common. */
  place(index: number): Place {
    const at = Math.floor(((index * 0.618_033_988_749_895) % 1) * this.count);
    return { request: at, answer: at };
  }

  start(request: number): number {
    return request === 0 ? 0 : (this.#ends[request - 1] as number);
  }

  end(request: number): number {
    return this.#ends[request] as number;
  }

  next(request: number): number {
    return request + 1 === this.count ? 0 : request + 1;
  }

  /** As Workload.compose. */
  compose(place: Place, most: number): number {
    const offset = this.start(place.request);
    let taken = 0;
    let end = offset;
    let request = place.request;
    do {
      end = this.#ends[request] as number;
      request++;
      taken++;
    } while (taken < most && request < this.count && end - offset < PIECE_BYTES);
    place.request = request === this.count ? 0 : request;
    this.batch.offset = offset;
    this.batch.length = end - offset;
    return taken;
  }
}

/** Random bytes, the same for the same seed. */
export function randomBytes(random: Random, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let at = 0;
  for (; at + 4 <= length; at += 4) bytes.writeUInt32LE(random.uint32(), at);
  for (; at < length; at++) bytes[at] = random.below(256);
  return bytes;
}

const LETTERS = Buffer.from("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

/** Random characters that no line protocol takes for its own. */
export function randomText(random: Random, length: number): Buffer {
  const text = randomBytes(random, length);
  for (let at = 0; at < length; at++) text[at] = LETTERS[(text[at] as number) & 63] as number;
  return text;
}
