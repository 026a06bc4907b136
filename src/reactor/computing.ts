// What a handler has marked heavy: computed by whoever can, in order, and forgotten when the connection ends.
//
// It is a table of handlers around the user's: the reactor sees a `message` that returns a promise, which stops the
// connection as any other async handler does. So order, backpressure and draining are the ones that are there anyway.

import { isPromise } from "../deferred.ts";
import {
  type CloseReason,
  type Connection,
  type Handlers,
  type Heavy,
  isHeavy,
} from "../handlers.ts";

/** Computes a task, here or elsewhere. */
export type Compute = (heavy: Heavy<unknown>, signal: AbortSignal) => unknown;

/** Too many tasks wait: this one was not taken. */
export class ComputeFullError extends Error {
  override readonly name = "ComputeFullError";
  readonly code = "ERR_SLUICE_COMPUTE_FULL";
}

/** Handlers as the reactor runs them: nothing of what they return is heavy any more. */
export type PlainHandlers<Message, Sent, State> = Omit<
  Handlers<Message, Sent, State>,
  "message"
> & {
  message(connection: Connection<Sent, State>, message: Message): void | Promise<void>;
};

/** The table with its heavy messages computed by `compute`, or in place where there is none. */
export function withComputing<Message, Sent, State>(
  handlers: Handlers<Message, Sent, State>,
  compute: Compute | undefined,
): PlainHandlers<Message, Sent, State> {
  if (handlers.compute === undefined) return lightOnly(handlers);
  const inPlace: Compute = ({ task }, signal) => handlers.compute?.(task, signal);
  const computing = new Computing(handlers, compute ?? inPlace);
  // Everything else is the user's own, also where it stands in the table's prototype.
  return Object.assign(Object.create(handlers) as typeof handlers, {
    message: (connection: Connection<Sent, State>, message: Message) =>
      computing.message(connection, message),
    closed(connection: Connection<Sent, State>, reason: CloseReason, error: Error | undefined) {
      computing.closed(connection);
      handlers.closed?.(connection, reason, error);
    },
  });
}

/** Without `compute` nothing can be heavy: incoming.ts says so to who returns it all the same. */
function lightOnly<Message, Sent, State>(
  handlers: Handlers<Message, Sent, State>,
): PlainHandlers<Message, Sent, State> {
  return handlers as PlainHandlers<Message, Sent, State>;
}

class Computing<Message, Sent, State> {
  readonly #handlers: Handlers<Message, Sent, State>;
  readonly #compute: Compute;
  /** What is being computed: at most one task of a connection, since its next message waits. */
  readonly #underWay = new Map<Connection<Sent, State>, AbortController>();

  constructor(handlers: Handlers<Message, Sent, State>, compute: Compute) {
    this.#handlers = handlers;
    this.#compute = compute;
  }

  message(connection: Connection<Sent, State>, message: Message): void | Promise<void> {
    const returned = this.#handlers.message(connection, message);
    return isHeavy(returned) ? this.#start(connection, returned) : returned;
  }

  closed(connection: Connection<Sent, State>): void {
    this.#underWay.get(connection)?.abort();
    this.#underWay.delete(connection);
  }

  #start(connection: Connection<Sent, State>, heavy: Heavy<unknown>): void | Promise<void> {
    const controller = new AbortController();
    try {
      const result = this.#compute(heavy, controller.signal);
      if (!isPromise(result)) return this.#handlers.computed?.(connection, result);
      this.#underWay.set(connection, controller);
      return this.#finish(connection, controller.signal, result);
    } catch (error) {
      return this.#refuse(connection, heavy, error);
    }
  }

  async #finish(
    connection: Connection<Sent, State>,
    signal: AbortSignal,
    promise: Promise<unknown>,
  ): Promise<void> {
    try {
      const result = await promise;
      if (!signal.aborted) await this.#handlers.computed?.(connection, result);
    } catch (error) {
      // Of a connection that has ended: nobody waits for it.
      if (!signal.aborted) throw error;
    } finally {
      this.#underWay.delete(connection);
    }
  }

  #refuse(connection: Connection<Sent, State>, { task }: Heavy<unknown>, error: unknown) {
    const { refused } = this.#handlers;
    if (!(error instanceof ComputeFullError) || refused === undefined) throw error;
    return refused.call(this.#handlers, connection, task);
  }
}
