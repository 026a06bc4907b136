// The owner of the shared maps: answers what threads ask through its mailbox, one question after the other.
//
// A thread may be full when its answer is ready: the answer then waits here, and is tried again. A thread may have died
// since it asked: its successor, with the same mailbox but of another generation, must not get that answer.

import { Buffer } from "node:buffer";
import type { Mailbox, Receiver } from "./mailbox.ts";
import { answerBody, type MapQuestion, readQuestion } from "./map-messages.ts";
import { type MapAnswer, MapStore } from "./map-store.ts";

/** Kinds of messages; the other ones stand in thread-mail.ts. */
export const MAP_QUESTION = 3;
export const MAP_ANSWER = 4;

const RETRY_MS = 2;
const NOTHING = Buffer.alloc(0);

interface Unsent {
  readonly to: number;
  readonly generation: number;
  readonly tag: number;
  readonly body: Buffer;
}

export class MapOwner {
  readonly #store: MapStore;
  readonly #mailbox: Mailbox;
  #unsent: Unsent[] = [];

  constructor(mailbox: Mailbox, mostBytes: number) {
    this.#mailbox = mailbox;
    this.#store = new MapStore(mostBytes);
  }

  /** Begins to answer. */
  listen(): void {
    this.#mailbox.callWhenPending(() => this.#mailbox.receive(this.#received));
  }

  /** What the thread with this box has said before it died is done while it still counts as alive. */
  hearLastWordsOf(box: number): void {
    this.#mailbox.receiveAllFrom(box, this.#received);
  }

  /** For the owner's own thread; otherwise `lives` says whether the asker's still does. */
  apply(question: MapQuestion, lives?: () => boolean): MapAnswer {
    const { operation, name, key, version, value, keepMs, withThread } = question;
    const tenure = { keepMs, lives: withThread ? lives : undefined };
    return this.#store.apply(operation, name, key, version, value, tenure);
  }

  readonly #received: Receiver = ({ kind, tag, head, body }, from) => {
    if (kind !== MAP_QUESTION) return;
    const question = readQuestion(head, body);
    const { generation } = question;
    const lives = () => this.#mailbox.isOwned(from, generation);
    const answer = answerBody(this.apply(question, lives));
    this.#answer({ to: from, generation, tag, body: answer });
  };

  /** Also those that wait already: what a thread asked first is answered first. */
  #answer(answer: Unsent): void {
    if (this.#unsent.length === 0 && this.#sent(answer)) return;
    if (this.#unsent.push(answer) === 1) this.#retryLater();
  }

  #sent({ to, generation, tag, body }: Unsent): boolean {
    if (this.#mailbox.generationOf(to) !== generation) return true;
    return this.#mailbox.send(to, MAP_ANSWER, tag, NOTHING, body);
  }

  #retryLater(): void {
    setTimeout(() => {
      this.#unsent = this.#unsent.filter((answer) => !this.#sent(answer));
      if (this.#unsent.length > 0) this.#retryLater();
    }, RETRY_MS).unref();
  }
}
