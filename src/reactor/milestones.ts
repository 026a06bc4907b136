// The handlers of a connection's life beside its messages: opened, departed, arrived, adopted, draining, closed. What they throw
// or promise is looked after here, and while one runs the pulse says so.

import type { Driver } from "../driver/driver.ts";
import { slotOf } from "../driver/handle.ts";
import type { Closing } from "./closing.ts";
import { BUSY, CLOSING, DRAINING, type ReactorConnection } from "./connection.ts";
import type { Incoming } from "./incoming.ts";
import {
  IN_ADOPTED,
  IN_ARRIVED,
  IN_CLOSED,
  IN_DEPARTED,
  IN_DRAINING,
  IN_OPENED,
  type Pulse,
} from "./pulse.ts";
import type { Rest } from "./rest.ts";

export class Milestones<Message, Sent, State> {
  readonly #driver: Driver;
  readonly #incoming: Incoming<Message, Sent, State>;
  readonly #closing: Closing<Message, Sent, State>;
  readonly #pulse: Pulse;
  readonly #rest: Rest | undefined;

  constructor(
    driver: Driver,
    incoming: Incoming<Message, Sent, State>,
    closing: Closing<Message, Sent, State>,
    pulse: Pulse,
    rest: Rest | undefined,
  ) {
    this.#driver = driver;
    this.#incoming = incoming;
    this.#closing = closing;
    this.#pulse = pulse;
    this.#rest = rest;
  }

  /** It is a connection from here on: its bytes are received. */
  opened(connection: ReactorConnection<Message, Sent, State>): void {
    const { handlers } = connection.table;
    const before = this.#pulse.enter(IN_OPENED, connection.id, slotOf(connection.handle));
    try {
      if (handlers.opened !== undefined) {
        this.#incoming.run(connection, handlers.opened(connection));
      }
    } catch (error) {
      this.#closing.handlerFailed(connection, error);
    }
    this.#pulse.leave(before);
    this.#driver.resume(connection.handle);
    this.#rest?.later(connection);
  }

  /** It closes now if it has nothing to do, else as soon as it has not. */
  draining(connection: ReactorConnection<Message, Sent, State>): void {
    const before = this.#pulse.enter(IN_DRAINING, connection.id, slotOf(connection.handle));
    let stays = false;
    try {
      stays = connection.table.handlers.draining?.(connection) === "stays";
    } catch (error) {
      this.#closing.handlerFailed(connection, error);
    }
    this.#pulse.leave(before);
    // Its handlers close it, or the server when its time is over.
    if (stays) return;
    connection.flags |= DRAINING;
    const busy = (connection.flags & BUSY) !== 0 || connection.unread !== undefined;
    if ((connection.flags & CLOSING) !== 0) return;
    if (busy) this.#incoming.stopReading(connection);
    else this.#closing.close(connection, "shutdown");
  }

  /** Told in the reactor that it leaves. */
  departed(connection: ReactorConnection<Message, Sent, State>): void {
    const before = this.#pulse.enter(IN_DEPARTED, connection.id, slotOf(connection.handle));
    try {
      connection.table.handlers.departed?.(connection);
    } catch (error) {
      this.#closing.handlerFailed(connection, error);
    }
    this.#pulse.leave(before);
  }

  /** Told in the reactor that it has come to. */
  arrived(connection: ReactorConnection<Message, Sent, State>): void {
    const { handlers } = connection.table;
    const before = this.#pulse.enter(IN_ARRIVED, connection.id, slotOf(connection.handle));
    try {
      if (handlers.arrived !== undefined) {
        this.#incoming.run(connection, handlers.arrived(connection));
      }
    } catch (error) {
      this.#closing.handlerFailed(connection, error);
    }
    this.#pulse.leave(before);
  }

  /** Told in the reactor that goes on with it, in the place of one that died. */
  adopted(connection: ReactorConnection<Message, Sent, State>): void {
    const { handlers } = connection.table;
    const before = this.#pulse.enter(IN_ADOPTED, connection.id, slotOf(connection.handle));
    try {
      if (handlers.adopted !== undefined) {
        this.#incoming.run(connection, handlers.adopted(connection));
      }
    } catch (error) {
      this.#closing.handlerFailed(connection, error);
    }
    this.#pulse.leave(before);
  }

  closed(connection: ReactorConnection<Message, Sent, State>): void {
    const before = this.#pulse.enter(IN_CLOSED, connection.id, slotOf(connection.handle));
    try {
      const { reason = "closed", error } = connection;
      connection.table.handlers.closed?.(connection, reason, error);
    } catch (error) {
      connection.table.report(error);
    }
    this.#pulse.leave(before);
  }
}
