// Who is connected to this reactor: the connections by their slots, how many there are, and how one is made.

import type { Handle } from "../driver/driver.ts";
import { slotOf } from "../driver/handle.ts";
import { ADOPTABLE, BUSY, ReactorConnection } from "./connection.ts";
import { ACCEPTED, ADOPTED, ARRIVED, CONNECTIONS, HANDLER_ERRORS } from "./counters.ts";
import type { HandlerTable } from "./handler-table.ts";
import type { MovedConnection } from "./moving.ts";
import type { Reactor } from "./reactor.ts";
import type { ReactorOptions } from "./reactor-options.ts";

export class Roster<Message, Sent, State> {
  /** By slot. Only this class writes it. */
  readonly connections: (ReactorConnection<Message, Sent, State> | undefined)[];
  /** How many there are. */
  count = 0;
  readonly #reactor: Reactor<Message, Sent, State>;
  /** What those have that other reactors may go on with. */
  readonly #table: HandlerTable<Message, Sent, State>;
  readonly #counters: Float64Array;
  /** The number of the last connection, shared by all reactors of a server. */
  readonly #ids: Int32Array;
  readonly #outliveThread: boolean;
  /**
   * Nobody's connection, there so that V8 keeps the hidden classes of connections and decoders. A full collection drops those that no
   * object has, and with them all code that was compiled for them: without it a server whose last client has left would
   * begin the next day slowly (in an open loop, 99th percentile of the first second after an idle minute: 3.4 ms instead of 1.3).
   */
  readonly pattern: ReactorConnection<Message, Sent, State> | undefined;

  constructor(
    reactor: Reactor<Message, Sent, State>,
    table: HandlerTable<Message, Sent, State>,
    options: ReactorOptions<Message, Sent, State>,
  ) {
    this.connections = new Array(options.slots);
    this.#reactor = reactor;
    this.#table = table;
    this.#counters = options.counters;
    this.#ids = options.ids ?? new Int32Array(1);
    this.#outliveThread = options.rests !== undefined;
    this.pattern = this.#makePattern();
  }

  /** A new one. Undefined, with the error reported, when its state or decoder cannot be made. */
  open(
    handle: Handle,
    table: HandlerTable<Message, Sent, State>,
    nowMs: number,
  ): ReactorConnection<Message, Sent, State> | undefined {
    const connection = this.#make(handle, table, nowMs);
    if (connection === undefined) return undefined;
    this.#add(connection);
    this.#counters[ACCEPTED] = (this.#counters[ACCEPTED] as number) + 1;
    return connection;
  }

  /** One from another reactor. Undefined, with the error reported, when its decoder cannot be made. */
  enter(
    handle: Handle,
    moved: MovedConnection,
    nowMs: number,
  ): ReactorConnection<Message, Sent, State> | undefined {
    const connection = this.#make(handle, this.#table, nowMs, moved);
    if (connection === undefined) return undefined;
    connection.activeMs = nowMs - moved.silentMs;
    connection.sentMs = nowMs - moved.unsentMs;
    this.#add(connection);
    this.#counters[ARRIVED] = (this.#counters[ARRIVED] as number) + 1;
    if (moved.orphaned) this.#counters[ADOPTED] = (this.#counters[ADOPTED] as number) + 1;
    return connection;
  }

  /** It is not this reactor's any more; whether it has ended is another matter. */
  remove(connection: ReactorConnection<Message, Sent, State>): void {
    this.connections[slotOf(connection.handle)] = undefined;
    this.count--;
    this.#counters[CONNECTIONS] = this.count;
  }

  /** It has another handle from now on. */
  rename(connection: ReactorConnection<Message, Sent, State>, handle: Handle): void {
    this.connections[slotOf(connection.handle)] = undefined;
    connection.handle = handle;
    this.connections[slotOf(handle)] = connection;
  }

  /** Those that may be moved away, with those first that have nothing to do. */
  *movable(): Generator<ReactorConnection<Message, Sent, State>> {
    const busy: ReactorConnection<Message, Sent, State>[] = [];
    for (const connection of this.connections) {
      if (connection === undefined) continue;
      if ((connection.flags & BUSY) !== 0 || connection.pendingBytes > 0) busy.push(connection);
      else yield connection;
    }
    yield* busy;
  }

  #add(connection: ReactorConnection<Message, Sent, State>): void {
    this.connections[slotOf(connection.handle)] = connection;
    this.count++;
    this.#counters[CONNECTIONS] = this.count;
  }

  #makePattern(): ReactorConnection<Message, Sent, State> | undefined {
    const nobody = 0 as Handle;
    const state = undefined as State;
    try {
      const decoder = this.#table.codec.decoder();
      return new ReactorConnection(this.#reactor, nobody, 0, this.#table, decoder, state, 0);
    } catch {
      // Each connection will fail in the same way, and report it.
      return undefined;
    }
  }

  #make(
    handle: Handle,
    table: HandlerTable<Message, Sent, State>,
    nowMs: number,
    moved?: MovedConnection,
  ): ReactorConnection<Message, Sent, State> | undefined {
    try {
      // `state` without a maker is undefined, which is what State is then.
      const fresh = moved === undefined || moved.orphaned;
      const state = (fresh ? table.handlers.state?.() : moved.state) as State;
      const decoder = table.codec.decoder();
      const id = moved?.id ?? (Atomics.add(this.#ids, 0, 1) + 1) >>> 0;
      const connection = new ReactorConnection(
        this.#reactor,
        handle,
        id,
        table,
        decoder,
        state,
        nowMs,
      );
      const adoptable = table === this.#table && decoder.kept !== undefined;
      if (this.#outliveThread && adoptable) connection.flags |= ADOPTABLE;
      return connection;
    } catch (error) {
      this.#counters[HANDLER_ERRORS] = (this.#counters[HANDLER_ERRORS] as number) + 1;
      table.report(error);
      return undefined;
    }
  }
}
