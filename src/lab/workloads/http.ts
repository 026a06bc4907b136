// HTTP/1.1 GET on connections that are kept alive: statuses of 400 and above are counted as errors, bodies are read to their
// end (Content-Length or chunked) and thrown away. Where the target says "Connection: close", as servers do after so many
// requests, or closes a connection between two answers, as they do when it was idle for long, another one takes its place.
//
// Responses of one server have the same head for a second or so, until its date changes: a head that is byte for byte the
// one before is not taken apart again.

import type { Place, Tape } from "./tape.ts";
import { Tape as RequestTape } from "./tape.ts";
import { AnswerError, type Workload, type WorkloadContext } from "./workload.ts";

const HEAD = 0;
const BODY = 1;
const CHUNK_SIZE = 2;
const CHUNK_DATA = 3;
const TRAILERS = 4;
const LONGEST_HEAD = 64 * 1024;
const LF = 10;
const END_OF_HEAD = Buffer.from("\r\n\r\n");
const FIRST_ERROR = 400;

interface HttpSession extends Place {
  state: number;
  /** Bytes left of the body, or of a chunk with its line ending. */
  left: number;
  /** What has come of a head or a line that is not complete. */
  kept: Buffer;
  /** Its last answer has said so. */
  closes: boolean;
  /** One of its requests has been answered. */
  served: boolean;
}

interface Head {
  readonly status: number;
  /** Bytes of the body; −1: in chunks. */
  readonly length: number;
  /** The server ends the connection behind this response. */
  readonly closes: boolean;
}

export function http({ path, host, report }: WorkloadContext): Workload {
  const request = `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: sluice\r\nAccept: */*\r\n\r\n`;
  return new HttpAnswers(new RequestTape([Buffer.from(request)]), report);
}

class HttpAnswers implements Workload<HttpSession> {
  readonly batch: Tape["batch"];
  readonly outputBytes: number;
  readonly #requests: Tape;
  readonly #report: WorkloadContext["report"];
  #lastBytes = Buffer.alloc(0);
  #lastHead: Head = { status: 200, length: 0, closes: false };

  constructor(requests: Tape, report: WorkloadContext["report"]) {
    this.#requests = requests;
    this.#report = report;
    this.batch = requests.batch;
    this.outputBytes = requests.outputBytes;
  }

  attach(output: Buffer): void {
    this.#requests.attach(output);
  }

  session(index: number): HttpSession {
    const place = this.#requests.place(index);
    return { ...place, state: HEAD, left: 0, kept: NOTHING, closes: false, served: false };
  }

  compose(session: HttpSession, most: number): number {
    return this.#requests.compose(session, most);
  }

  received(session: HttpSession, input: Buffer, offset: number, length: number): number {
    const end = offset + length;
    let at = offset;
    let complete = 0;
    while (at < end) {
      if (session.state === HEAD) at = this.#head(session, input, at, end);
      else if (session.state === BODY || session.state === CHUNK_DATA) {
        const piece = Math.min(session.left, end - at);
        session.left -= piece;
        at += piece;
        if (session.left === 0 && session.state === CHUNK_DATA) session.state = CHUNK_SIZE;
      } else at = line(session, input, at, end);
      if (session.state === BODY && session.left === 0) {
        session.state = HEAD;
        session.served = true;
        complete++;
      }
    }
    return complete;
  }

  isLast({ closes, state }: HttpSession): boolean {
    return closes && state === HEAD;
  }

  endsBetween({ served, state, kept }: HttpSession): boolean {
    return served && state === HEAD && kept.length === 0;
  }

  #head(session: HttpSession, input: Buffer, at: number, end: number): number {
    const last = this.#lastBytes;
    if (session.kept.length === 0 && last.length > 0 && end - at >= last.length) {
      if (input.compare(last, 0, last.length, at, at + last.length) === 0) {
        begin(session, this.#lastHead);
        this.#count(this.#lastHead);
        return at + last.length;
      }
    }
    const bytes = Buffer.concat([session.kept, input.subarray(at, end)]);
    const close = bytes.indexOf(END_OF_HEAD);
    if (close < 0) {
      if (bytes.length > LONGEST_HEAD) throw wrong(`a head of more than ${LONGEST_HEAD} bytes`);
      session.kept = bytes;
      return end;
    }
    const length = close + END_OF_HEAD.length;
    const taken = length - session.kept.length;
    session.kept = NOTHING;
    this.#lastBytes = Buffer.from(bytes.subarray(0, length));
    this.#lastHead = parseHead(bytes.toString("latin1", 0, length));
    begin(session, this.#lastHead);
    this.#count(this.#lastHead);
    return at + taken;
  }

  #count({ status }: Head): void {
    if (status >= FIRST_ERROR) this.#report(`HTTP_${status}`, `the target answered ${status}`);
  }
}

const NOTHING = Buffer.alloc(0);

function begin(session: HttpSession, head: Head): void {
  session.state = head.length < 0 ? CHUNK_SIZE : BODY;
  session.left = Math.max(head.length, 0);
  session.closes = head.closes;
}

/** The line of a chunk's size, or of a trailer. */
function line(session: HttpSession, input: Buffer, at: number, end: number): number {
  const newline = input.indexOf(LF, at);
  const until = newline < 0 || newline >= end ? end : newline + 1;
  const bytes = Buffer.concat([session.kept, input.subarray(at, until)]);
  if (bytes.length > LONGEST_HEAD) throw wrong("a chunk's line without an end");
  if (bytes.at(-1) !== LF) {
    session.kept = bytes;
    return until;
  }
  session.kept = NOTHING;
  const text = bytes.toString("latin1").trim();
  if (session.state === TRAILERS) {
    if (text === "") session.state = BODY;
    return until;
  }
  const size = /^[0-9a-f]+/i.exec(text);
  if (size === null) throw wrong(`"${text.slice(0, 40)}" is no size of a chunk`);
  const length = Number.parseInt(size[0], 16);
  session.state = length === 0 ? TRAILERS : CHUNK_DATA;
  session.left = length === 0 ? 0 : length + 2;
  return until;
}

function parseHead(text: string): Head {
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(text);
  if (status === null) throw wrong(`"${text.slice(0, 40)}" is no status line of HTTP/1`);
  const closes = /^connection:.*\bclose\b/im.test(text);
  if (/^transfer-encoding:.*\bchunked\b/im.test(text)) {
    return { status: Number(status[1]), length: -1, closes };
  }
  const length = /^content-length:\s*(\d+)\s*$/im.exec(text);
  const code = Number(status[1]);
  if (length === null && code !== 204 && code !== 304) {
    throw wrong(
      "a response without Content-Length that is not chunked: its end is that of the stream",
    );
  }
  return { status: code, length: Number(length?.[1] ?? 0), closes };
}

function wrong(text: string): AnswerError {
  return new AnswerError("WRONG_CONTENT", text);
}
