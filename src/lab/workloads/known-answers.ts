// Answers of which every byte is known: a tape of them beside the tape of requests (an echo's are one). They are compared
// where they lie, so that a byte which is lost, doubled, changed or out of order is found, and where.
//
// Some protocols may answer otherwise now and then (an error, "no such key"), in a line of its own: then the answer is read
// up to the end of its line, and judged.

import type { Place, Tape } from "./tape.ts";
import { AnswerError, type Workload } from "./workload.ts";

/** Up to here a loop over words is faster than a call into C++ (measured: 38 against 119 ns for 64 bytes). */
const SHORT_BYTES = 192;
/** How answers of other protocols than the one that was asked in begin, and which workload is for them. */
const OTHERS: Readonly<Record<string, string>> = {
  "-ERR": "an SWP/1 service takes --workload swp, a RESP server --workload resp",
  "HTTP/": "an HTTP server takes --workload http",
};
const LONGEST_LINE = 1024;
const LF = 10;

interface KnownSession extends Place {
  /** How much of the present answer is there, as it should be. */
  matched: number;
  /** Bytes received so far. */
  bytes: number;
  /** The line that an unexpected answer has been so far. */
  line: string | undefined;
}

export interface KnownAnswersOptions {
  readonly requests: Tape;
  /** The n-th answers the n-th request. */
  readonly answers: Tape;
  /** False: bytes are only counted. */
  readonly verify: boolean;
  /**
   * Judges an answer that is not the known one, a line without its ending. Undefined: there is none.
   * @throws AnswerError when it is wrong, and the connection of no use any more
   */
  readonly judge?: (line: string, request: number) => void;
}

export class KnownAnswers implements Workload<KnownSession> {
  readonly batch: Tape["batch"];
  readonly outputBytes: number;
  readonly #requests: Tape;
  readonly #answers: Tape;
  readonly #verify: boolean;
  readonly #judge: KnownAnswersOptions["judge"];
  readonly #model: Buffer;
  readonly #modelView: DataView;
  #inputOf: Buffer | undefined;
  #inputView: DataView = new DataView(new ArrayBuffer(0));

  constructor(options: KnownAnswersOptions) {
    this.#requests = options.requests;
    this.#answers = options.answers;
    this.#verify = options.verify;
    this.#judge = options.judge;
    this.batch = options.requests.batch;
    this.outputBytes = options.requests.outputBytes;
    this.#model = options.answers.bytes;
    const { buffer, byteOffset, length } = this.#model;
    this.#modelView = new DataView(buffer, byteOffset, length);
  }

  attach(output: Buffer): void {
    this.#requests.attach(output);
  }

  session(index: number): KnownSession {
    return { ...this.#requests.place(index), matched: 0, bytes: 0, line: undefined };
  }

  compose(session: KnownSession, most: number): number {
    return this.#requests.compose(session, most);
  }

  received(session: KnownSession, input: Buffer, offset: number, length: number): number {
    const answers = this.#answers;
    const end = offset + length;
    let at = offset;
    /** Up to here the input is what it should be. */
    let checked = offset;
    let complete = 0;
    while (at < end) {
      if (session.line !== undefined) {
        at = this.#readLine(session, input, at, end);
        if (session.line === undefined) complete++;
        continue;
      }
      const position = answers.start(session.answer) + session.matched;
      const piece = Math.min(end - at, answers.end(session.answer) - position);
      if (this.#verify && at + piece > checked) {
        // Answers that follow one another on the tape are compared in one go.
        const run = Math.min(end - at, this.#model.length - position);
        if (this.#same(input, at, position, run)) checked = at + run;
        else if (!this.#same(input, at, position, piece)) {
          this.#differs(session, input, at, position, piece);
          continue;
        }
      }
      at += piece;
      session.bytes += piece;
      session.matched += piece;
      if (position + piece === answers.end(session.answer)) {
        complete++;
        this.#next(session);
      }
    }
    return complete;
  }

  #next(session: KnownSession): void {
    session.answer = this.#answers.next(session.answer);
    session.matched = 0;
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

  /** Another answer than the known one begins as its first line does, or is wrong. */
  #differs(
    session: KnownSession,
    input: Buffer,
    at: number,
    position: number,
    length: number,
  ): void {
    const start = position - session.matched;
    const inFirstLine = !this.#model.subarray(start, position).includes(LF);
    if (this.#judge !== undefined && inFirstLine) {
      session.line = this.#model.toString("latin1", start, position);
      return;
    }
    // A piece is as long as is expected: there may be more behind it.
    const line = input.toString("latin1", at, at + LONGEST_LINE).split(/[\r\n]/, 1)[0] ?? "";
    const other = Object.keys(OTHERS).find((start) => line.startsWith(start));
    if (other !== undefined) {
      throw new AnswerError("WRONG_CONTENT", `"${line}" came instead of an echo: ${OTHERS[other]}`);
    }
    let n = 0;
    while (n < length && input[at + n] === this.#model[position + n]) n++;
    const got = hex(input[at + n]);
    const wanted = hex(this.#model[position + n]);
    const place = session.bytes + n;
    throw new AnswerError("WRONG_CONTENT", `byte ${place} of a stream is ${got}, not ${wanted}`);
  }

  /** Takes bytes up to the line's end; where the next answer begins. */
  #readLine(session: KnownSession, input: Buffer, at: number, end: number): number {
    const newline = input.indexOf(LF, at);
    const until = newline < 0 || newline >= end ? end : newline + 1;
    const line = session.line + input.toString("latin1", at, until);
    session.bytes += until - at;
    session.line = line;
    if (line.length > LONGEST_LINE) {
      throw new AnswerError("WRONG_CONTENT", `an answer that is neither right nor a line`);
    }
    if (line.endsWith("\n")) {
      session.line = undefined;
      this.#judge?.(line.trimEnd(), session.answer);
      this.#next(session);
    }
    return until;
  }
}

function hex(byte: number | undefined): string {
  return byte === undefined ? "missing" : `0x${byte.toString(16).padStart(2, "0")}`;
}
