// Answers that are their requests again, byte for byte: compared with the tape where they lie. Every byte is looked at,
// so that one which is lost, doubled, changed or out of order is found, and where.

import type { Tape } from "./tape.ts";
import { AnswerError, type Workload } from "./workload.ts";

/** Up to here a loop over words is faster than a call into C++ (measured: 38 against 119 ns for 64 bytes). */
const SHORT_BYTES = 192;

interface EchoSession {
  request: number;
  answer: number;
  /** Where on the tape the next received byte has its model. */
  position: number;
  /** Bytes received so far. */
  bytes: number;
}

/** `verify` false: bytes are only counted. */
export class EchoedAnswers implements Workload<EchoSession> {
  readonly batch: Tape["batch"];
  readonly outputBytes: number;
  readonly #tape: Tape;
  readonly #verify: boolean;
  #model: Buffer = Buffer.alloc(0);
  #modelView: DataView = new DataView(new ArrayBuffer(0));
  #inputOf: Buffer | undefined;
  #inputView: DataView = new DataView(new ArrayBuffer(0));

  constructor(tape: Tape, verify: boolean) {
    this.#tape = tape;
    this.#verify = verify;
    this.batch = tape.batch;
    this.outputBytes = tape.outputBytes;
  }

  attach(output: Buffer): void {
    this.#tape.attach(output);
    this.#model = output;
    this.#modelView = new DataView(output.buffer, output.byteOffset, output.length);
  }

  session(index: number): EchoSession {
    const { request, answer } = this.#tape.place(index);
    return { request, answer, position: this.#tape.start(answer), bytes: 0 };
  }

  compose(session: EchoSession, most: number): number {
    return this.#tape.compose(session, most);
  }

  received(session: EchoSession, input: Buffer, offset: number, length: number): number {
    const tape = this.#tape;
    let at = offset;
    let left = length;
    let answers = 0;
    while (left > 0) {
      const piece = Math.min(left, tape.length - session.position);
      if (this.#verify && !this.#same(input, at, session.position, piece)) {
        throw this.#difference(session, input, at, piece);
      }
      session.position += piece;
      session.bytes += piece;
      at += piece;
      left -= piece;
      while (session.position >= tape.end(session.answer)) {
        answers++;
        session.answer = tape.next(session.answer);
        if (session.answer === 0) {
          session.position = 0;
          break;
        }
      }
    }
    return answers;
  }

  #same(input: Buffer, at: number, position: number, length: number): boolean {
    if (length > SHORT_BYTES) {
      return input.compare(this.#model, position, position + length, at, at + length) === 0;
    }
    const received = this.#viewOf(input);
    const model = this.#modelView;
    let done = 0;
    for (; done + 4 <= length; done += 4) {
      if (received.getInt32(at + done) !== model.getInt32(position + done)) return false;
    }
    for (; done < length; done++) {
      if (received.getUint8(at + done) !== model.getUint8(position + done)) return false;
    }
    return true;
  }

  #viewOf(input: Buffer): DataView {
    if (this.#inputOf !== input) {
      this.#inputOf = input;
      this.#inputView = new DataView(input.buffer, input.byteOffset, input.length);
    }
    return this.#inputView;
  }

  #difference(session: EchoSession, input: Buffer, at: number, length: number): AnswerError {
    let n = 0;
    while (n < length && input[at + n] === this.#model[session.position + n]) n++;
    const hex = (byte: number | undefined) => `0x${(byte ?? 0).toString(16).padStart(2, "0")}`;
    const got = hex(input[at + n]);
    const wanted = hex(this.#model[session.position + n]);
    const place = session.bytes + n;
    return new AnswerError("WRONG_CONTENT", `byte ${place} of a stream is ${got}, not ${wanted}`);
  }
}
