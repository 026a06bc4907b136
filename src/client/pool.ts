// The connections of a client, and what waits for one: which request goes where, and which subscriptions are to be made anew.

import type { Due } from "../protocol/agenda.ts";
import type { CallError } from "../protocol/call-error.ts";
import type { Wire } from "../protocol/wire.ts";
import type { Announcement } from "./announcement.ts";
import type { Line } from "./line.ts";
import type { Link } from "./link.ts";
import type { Request, RequestHost } from "./request.ts";
import { RequestQueue } from "./request-queue.ts";
import type { Subscription, SubscriptionHost } from "./subscription.ts";

type Sendable = Request | Announcement;

/** A retry waits a random time of up to this, twice as much each time, at most RETRY_MOST_MS. */
const RETRY_FIRST_MS = 50;
const RETRY_MOST_MS = 2000;

export class Pool implements RequestHost, SubscriptionHost {
  readonly retries: number;
  readonly now: () => number;
  readonly #wire: Wire;
  readonly #random: () => number;
  readonly #lines: Line[] = [];
  readonly #queue: RequestQueue<Sendable>;
  readonly #subscriptions = new Set<Subscription<unknown>>();
  readonly #delays = new Set<Delay>();
  #closed: CallError | undefined;

  constructor(wire: Wire, retries: number, waiting: number, random: () => number) {
    this.#wire = wire;
    this.retries = retries;
    this.#random = random;
    this.now = () => wire.now();
    this.#queue = new RequestQueue(wire, waiting);
  }

  add(line: Line): void {
    this.#lines.push(line);
  }

  /** Requests that wait for a connection. */
  get waitingCount(): number {
    return this.#queue.length + this.#delays.size;
  }

  /** Links that take requests, or would if they had room. */
  links(): Link[] {
    return this.#lines.flatMap(({ link }) => (link === undefined ? [] : [link]));
  }

  submit(request: Sendable): void {
    if (request.isOver) return;
    if (request.deadlineMs <= this.now()) return request.timedOut();
    if (this.#closed !== undefined) return request.fail(this.#closed);
    const link = this.#queue.length === 0 ? this.#pick() : undefined;
    if (link === undefined) this.#queue.push(request);
    else this.#start(request, link);
  }

  submitLater(request: Request, attempt: number, retryAfterMs: number): void {
    const bound = Math.min(RETRY_FIRST_MS * 2 ** (attempt - 1), RETRY_MOST_MS);
    this.#later(retryAfterMs + this.#random() * bound, () => this.submit(request), request);
  }

  subscribeLater(subscription: Subscription<unknown>): void {
    this.#subscriptions.delete(subscription);
    this.#later(this.#random() * RETRY_MOST_MS, () => this.subscribe(subscription), {
      fail: (error) => subscription.over(error),
    });
  }

  #later(waitMs: number, run: () => void, item: Delay["item"]): void {
    const delay = new Delay(() => {
      this.#delays.delete(delay);
      run();
    }, item);
    this.#delays.add(delay);
    this.#wire.agenda.atLatest(delay, this.now() + Math.ceil(waitMs));
  }

  /** From here on it is subscribed on every connection that follows. */
  subscribe(subscription: Subscription<unknown>): void {
    if (this.#closed !== undefined) return subscription.over(this.#closed);
    this.#subscriptions.add(subscription);
    const link = this.#pick();
    if (link !== undefined) subscription.start(link);
  }

  unsubscribed(subscription: Subscription<unknown>): void {
    this.#subscriptions.delete(subscription);
  }

  /** A connection takes requests, or takes them again. */
  room(): void {
    for (const subscription of this.#subscriptions) {
      if (subscription.active) continue;
      const link = this.#pick();
      if (link === undefined || !subscription.start(link)) break;
    }
    for (let link = this.#pick(); link !== undefined; link = this.#pick()) {
      const request = this.#queue.shift();
      if (request === undefined) return;
      this.#start(request, link);
    }
  }

  /** Whoever waits will not get a connection before this is mended. */
  hopeless(error: CallError): void {
    this.#queue.failAll(error);
  }

  /** Nothing more is sent. */
  close(error: CallError): void {
    this.#closed = error;
    this.#queue.failAll(error);
    for (const delay of this.#delays) {
      this.#wire.agenda.remove(delay);
      delay.item.fail(error);
    }
    this.#delays.clear();
    for (const subscription of [...this.#subscriptions]) subscription.close();
  }

  #start(request: Sendable, link: Link): void {
    try {
      request.start(link);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      request.fail(error);
    }
  }

  /** The link with the fewest streams, of those that take more. */
  #pick(): Link | undefined {
    let best: Link | undefined;
    for (const { link } of this.#lines) {
      if (link === undefined || (best !== undefined && link.count >= best.count)) continue;
      if (link.takesRequests) best = link;
    }
    return best;
  }
}

class Delay implements Due {
  agendaSlot = -1;
  agendaMs = 0;
  readonly item: { fail(error: CallError): void };
  readonly #run: () => void;

  constructor(run: () => void, item: { fail(error: CallError): void }) {
    this.#run = run;
    this.item = item;
  }

  due(): number {
    this.#run();
    return Number.POSITIVE_INFINITY;
  }
}
