// A codec of one's own: RESP2, the protocol of Redis. It takes the same place as Sluice's own codecs.
//
// A message is one command with its arguments (`Request`), what is sent is one reply (`Reply`).
//
// The twist: malformed input is not thrown as a DecodeError, since that closes the connection without a word, and Redis
// tells its client what was wrong. So it becomes a last Request with an `error`, which the handler answers and closes.
//
// Invariant: a decoder holds bytes only of a command that is cut by the end of what was received; a connection between
// two commands holds nothing, and all share one parser.

import type { Codec, Decoder, Input, Output } from "../../src/index.ts";
import { CommandParser, type RespLimits } from "./command-parser.ts";
import { type Reply, writeReply } from "./reply.ts";
import type { Request } from "./request.ts";

/** A reply as long as the longest command must fit a connection's output (`limits.connectionOutputBytes`, 8 MiB). */
const DEFAULTS: RespLimits = { maximumBytes: 4 * 1024 * 1024, maximumArguments: 1024 * 1024 };

const SMALLEST_HELD = 64;
/** Taken of the input when it isn't known how much the unfinished command still needs. */
const STRIDE = 512;

/**
 * RESP2.
 * @throws RangeError for limits that are no positive integers, or too large to be kept in one buffer
 */
export function resp(limits: Partial<RespLimits> = {}): Codec<Request, Reply> {
  const complete = { ...DEFAULTS, ...limits };
  for (const [name, value] of Object.entries(complete)) {
    if (Number.isInteger(value) && value > 0 && value <= 2 ** 30) continue;
    throw new RangeError(`${name} must be an integer from 1 to ${2 ** 30}, not ${String(value)}`);
  }
  const shared = new CommandParser(complete);
  return {
    name: "resp2",
    decoder: () => new RespDecoder(shared),
    encode: (reply: Reply, output: Output) => writeReply(reply, output),
  };
}

class RespDecoder implements Decoder<Request> {
  readonly #shared: CommandParser;
  #unfinished: UnfinishedCommand | undefined;
  #failed = false;

  constructor(shared: CommandParser) {
    this.#shared = shared;
  }

  get pending(): number {
    return this.#unfinished?.memory ?? 0;
  }

  next(input: Input): Request | undefined {
    if (this.#unfinished !== undefined) {
      const request = this.#unfinished.read(input);
      if (request === undefined) return undefined;
      this.#unfinished = undefined;
      if (request.count > 0) return request;
      if (request.error !== "") return this.#fail(request, input);
    }
    if (this.#failed) input.offset = input.end;
    const { bytes, end } = input;
    const parser = this.#shared;
    while (input.offset < end) {
      parser.begin(bytes, input.offset);
      if (!parser.read(bytes, end)) {
        this.#unfinished = new UnfinishedCommand(parser, bytes, end);
        input.offset = end;
        return undefined;
      }
      input.offset = parser.position;
      const { request } = parser;
      if (request.count > 0) return input.borrow ? request : request.copy();
      if (request.error !== "") return this.#fail(request.copy(), input);
    }
    return undefined;
  }

  /** There is no way to tell where the next command would begin: the rest is skipped. */
  #fail(request: Request, input: Input): Request {
    this.#failed = true;
    input.offset = input.end;
    return request;
  }
}

/** A command whose end has not come yet, in a buffer of its own that grows as it comes. */
class UnfinishedCommand {
  #bytes: Buffer;
  #used: number;
  readonly #parser: CommandParser;

  /** Takes over from `parser`, which has come to the end of the input. */
  constructor(parser: CommandParser, bytes: Buffer, end: number) {
    this.#used = end - parser.start;
    this.#bytes = Buffer.allocUnsafeSlow(Math.max(SMALLEST_HELD, 2 * this.#used));
    bytes.copy(this.#bytes, 0, parser.start, end);
    this.#parser = parser.continued(this.#bytes);
  }

  get memory(): number {
    return this.#bytes.length + this.#parser.request.offsets.byteLength;
  }

  /** The command, when the input completes it; what lies behind it is left in the input. */
  read(input: Input): Request | undefined {
    const parser = this.#parser;
    while (input.offset < input.end) {
      const wanted = Math.max(parser.needed - this.#used, STRIDE);
      const taken = Math.min(wanted, input.end - input.offset);
      this.#append(input, taken);
      if (!parser.read(this.#bytes, this.#used)) continue;
      input.offset -= this.#used - parser.position;
      return parser.request;
    }
    return undefined;
  }

  #append(input: Input, count: number): void {
    if (this.#used + count > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(2 * (this.#used + count));
      this.#bytes.copy(larger, 0, 0, this.#used);
      this.#bytes = larger;
      this.#parser.request.bytes = larger;
    }
    input.bytes.copy(this.#bytes, this.#used, input.offset, input.offset + count);
    this.#used += count;
    input.offset += count;
  }
}
