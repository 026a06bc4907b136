// What nobody answers: a notification, or a publication without acknowledgement. It is over once it is on its way.

import { CallError } from "../protocol/call-error.ts";
import type { Open } from "../protocol/stream-frames.ts";
import type { Link } from "./link.ts";

export class Announcement {
  readonly deadlineMs: number;
  isOver = false;
  readonly #open: Open;
  readonly #body: Uint8Array;
  readonly #resolve: () => void;
  readonly #reject: (error: Error) => void;

  constructor(
    open: Open,
    body: Uint8Array,
    deadlineMs: number,
    resolve: () => void,
    reject: (error: Error) => void,
  ) {
    this.#open = open;
    this.#body = body;
    this.deadlineMs = deadlineMs;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** @throws RangeError for what does not fit into one frame */
  start(link: Link): void {
    const routeId = link.routes.get(this.#open.name ?? "");
    const { name: _, ...rest } = this.#open;
    link.session.streams.announce(
      routeId === undefined ? this.#open : { ...rest, routeId },
      this.#body,
    );
    this.isOver = true;
    this.#resolve();
  }

  timedOut(): void {
    this.fail(new CallError("DEADLINE_EXCEEDED", "no connection in time", { notProcessed: true }));
  }

  fail(error: CallError | RangeError): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#reject(error);
  }
}
