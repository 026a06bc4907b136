// Requests that no connection takes now: they wait in order, each until its own deadline, and never without bound.

import type { Due } from "../protocol/agenda.ts";
import { CallError } from "../protocol/call-error.ts";
import type { Wire } from "../protocol/wire.ts";

/** What can wait. */
export interface Waiting {
  /** In the wire's time; Infinity is never. */
  readonly deadlineMs: number;
  /** Nothing is to be sent any more. */
  readonly isOver: boolean;
  timedOut(): void;
  fail(error: CallError): void;
}

const NEVER = Number.POSITIVE_INFINITY;

export class RequestQueue<Item extends Waiting> implements Due {
  agendaSlot = -1;
  agendaMs = 0;
  readonly #wire: Wire;
  readonly #most: number;
  #items: Item[] = [];
  /** Everything before it has left. */
  #head = 0;

  constructor(wire: Wire, most: number) {
    this.#wire = wire;
    this.#most = most;
  }

  get length(): number {
    return this.#items.length - this.#head;
  }

  push(item: Item): void {
    if (this.length >= this.#most) {
      const why = `${this.#most} requests wait for a connection already`;
      return item.fail(new CallError("RESOURCE_EXHAUSTED", why, { notProcessed: true }));
    }
    this.#items.push(item);
    this.#wire.agenda.atLatest(this, item.deadlineMs);
  }

  /** The next one that still wants to be sent. */
  shift(): Item | undefined {
    while (this.#head < this.#items.length) {
      const item = this.#items[this.#head++] as Item;
      if (2 * this.#head > this.#items.length) {
        this.#items = this.#items.slice(this.#head);
        this.#head = 0;
      }
      if (!item.isOver) return item;
    }
    return undefined;
  }

  failAll(error: CallError): void {
    for (const item of this.#take()) item.fail(error);
  }

  due(nowMs: number): number {
    let next = NEVER;
    for (const item of this.#take()) {
      if (item.isOver) continue;
      if (item.deadlineMs <= nowMs) item.timedOut();
      else {
        this.#items.push(item);
        next = Math.min(next, item.deadlineMs);
      }
    }
    return next;
  }

  #take(): Item[] {
    const items = this.#items.slice(this.#head);
    this.#items = [];
    this.#head = 0;
    return items;
  }
}
