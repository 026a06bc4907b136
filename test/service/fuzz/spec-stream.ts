// What the specification lets both sides do with one stream, as far as a judge outside of the server can know.

export const KIND = {
  CALL: 0,
  SERVER: 1,
  CLIENT: 2,
  DUPLEX: 3,
  NOTIFY: 4,
  SUBSCRIBE: 5,
  PUBLISH: 6,
};
export const MOST_CREDIT = 0x7fff_ffff;

export class SpecStream {
  readonly id: number;
  readonly kind: number;
  /** Its OPEN could not be read, or it comes from another connection: what is said of its messages is not known. */
  readonly doubtful: boolean;
  clientDone = false;
  serverDone = false;
  /** Messages that the server may send, and that the client may. */
  serverCredit: number;
  clientCredit: number;
  /** Body bytes of a message in pieces of the client's. */
  part: number | undefined = undefined;
  /** The server's message in pieces. */
  serverPart = false;

  constructor(
    id: number,
    kind: number,
    serverCredit: number,
    clientCredit: number,
    doubtful = false,
  ) {
    this.id = id;
    this.kind = kind;
    this.serverCredit = serverCredit;
    this.clientCredit = clientCredit;
    this.doubtful = doubtful;
  }

  get opensUp(): boolean {
    return this.kind === KIND.CLIENT || this.kind === KIND.DUPLEX;
  }

  get flowsDown(): boolean {
    return flowsDown(this.kind);
  }
}

export function flowsDown(kind: number): boolean {
  return kind === KIND.SERVER || kind === KIND.DUPLEX || kind === KIND.SUBSCRIBE;
}

/** So many a second, so many at once; time is handed in. */
export class Bucket {
  readonly #rate: number;
  readonly #burst: number;
  #tokens: number;
  #atMs: number;

  constructor(rate: number, burst: number, nowMs: number) {
    this.#rate = rate;
    this.#burst = burst;
    this.#tokens = burst;
    this.#atMs = nowMs;
  }

  /** Takes one; false when there is none. */
  take(nowMs: number): boolean {
    const earned = ((nowMs - this.#atMs) * this.#rate) / 1000;
    this.#tokens = Math.min(this.#burst, this.#tokens + earned);
    this.#atMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}
