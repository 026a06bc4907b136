// Answers of which only the number is known: a codec takes them apart, one answers one request, and nobody looks inside.

import { type Codec, DecodeError, type Decoder, type Input } from "../../codec/codec.ts";
import type { Place, Tape } from "./tape.ts";
import { AnswerError, type Workload } from "./workload.ts";

interface CountedSession extends Place {
  readonly decoder: Decoder<unknown>;
}

export class CountedAnswers implements Workload<CountedSession> {
  readonly batch: Tape["batch"];
  readonly outputBytes: number;
  readonly #requests: Tape;
  readonly #codec: Codec<unknown, never>;
  readonly #chunk = new Chunk();

  constructor(requests: Tape, codec: Codec<unknown, never>) {
    this.#requests = requests;
    this.#codec = codec;
    this.batch = requests.batch;
    this.outputBytes = requests.outputBytes;
  }

  attach(output: Buffer): void {
    this.#requests.attach(output);
  }

  session(index: number): CountedSession {
    return { ...this.#requests.place(index), decoder: this.#codec.decoder() };
  }

  compose(session: CountedSession, most: number): number {
    return this.#requests.compose(session, most);
  }

  received(session: CountedSession, input: Buffer, offset: number, length: number): number {
    const chunk = this.#chunk.set(input, offset, length);
    let complete = 0;
    while (decodeNext(session.decoder, chunk) !== undefined) complete++;
    return complete;
  }
}

/** The one Input of a thread, used again and again. */
export class Chunk implements Input {
  bytes: Buffer = Buffer.alloc(0);
  offset = 0;
  end = 0;
  readonly borrow = true;

  set(bytes: Buffer, offset: number, length: number): this {
    this.bytes = bytes;
    this.offset = offset;
    this.end = offset + length;
    return this;
  }
}

/** @throws AnswerError for bytes that the codec does not allow */
export function decodeNext<Message>(decoder: Decoder<Message>, input: Input): Message | undefined {
  try {
    return decoder.next(input);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new AnswerError("WRONG_CONTENT", error.message);
  }
}
