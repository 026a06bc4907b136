// Moves a live connection from one reactor to another, between two of its messages: with what it has received and not
// handled, what it has still to send, its state, its topics, and how long it has been silent.
//
// The way out, a step each:
//   start     no more messages are handled
//   proceed   no handler is busy and everything written has left: the driver is told to let go
//   detached  the descriptor is ours; what the driver had already read has come before. The handler is told (`departed`),
//             everything is gathered and handed on
// and back again, when it has begun to close meanwhile or cannot be handed on: the driver adopts it once more, and it goes
// on as if nothing had been.
//
// Twist: between `proceed` and `detached` (LEAVING) the driver knows no handle any more, but timers and promises still write
// and close. What they write waits in the send queue and goes along; how they close is done when it is back (closing.ts).
// Invariant: a connection is in the table of one reactor, or in exactly one MovedConnection.

import { Buffer } from "node:buffer";
import type { Driver, Handle } from "../driver/driver.ts";
import { closeDescriptor } from "../sys/socket-calls.ts";
import type { Closing } from "./closing.ts";
import {
  BUSY,
  CLOSING,
  DRAINING,
  DRIVER_PAUSED,
  GONE,
  HAS_SPOKEN,
  IMMOBILE,
  LEAVING,
  MOVING,
  OUTPUT_ENDING,
  PAUSED,
  PEER_ENDED,
  type ReactorConnection,
} from "./connection.ts";
import type { Incoming } from "./incoming.ts";
import type { Milestones } from "./milestones.ts";
import type { Publishing } from "./publishing.ts";
import type { Rest } from "./rest.ts";
import type { SendQueue } from "./send-queue.ts";
import type { Writing } from "./writing.ts";

/** A connection between two reactors. It can be posted to another thread when its state can be cloned. */
export interface MovedConnection {
  /** Open, and nobody's but the holder's. */
  readonly descriptor: number;
  readonly id: number;
  readonly state: unknown;
  /** Received and not handled. */
  readonly input: Uint8Array;
  /** Written and not sent. */
  readonly output: Uint8Array;
  readonly topics: readonly string[];
  /** How long ago bytes last came, and when its last send was started, in ms. */
  readonly silentMs: number;
  readonly unsentMs: number;
  readonly hasSpoken: boolean;
  readonly paused: boolean;
  /** Its thread has died: its state is to be made anew, and the handlers are told otherwise. */
  readonly orphaned: boolean;
}

/** What a move needs of its reactor. */
export interface MovingReactor<Message, Sent, State> {
  readonly driver: Driver;
  readonly closing: Closing<Message, Sent, State>;
  readonly incoming: Incoming<Message, Sent, State>;
  readonly writing: Writing<Message, Sent, State>;
  readonly publishing: Publishing<Message, Sent, State>;
  readonly milestones: Milestones<Message, Sent, State>;
  readonly sends: SendQueue;
  readonly rest: Rest | undefined;
  /** Whether it serves this connection with the handlers that other reactors have too. */
  serves(connection: ReactorConnection<Message, Sent, State>): boolean;
  /** Whether one more connection than it must take has a place here. */
  hasRoom(): boolean;
  /** Whether its connections were told to come to their end. */
  drains(): boolean;
  /** A connection for a handle that the driver has just adopted; undefined when it cannot be made. */
  arrived(
    handle: Handle,
    moved: MovedConnection,
  ): ReactorConnection<Message, Sent, State> | undefined;
  /** Takes it out of the reactor's table; it has not ended. */
  departed(connection: ReactorConnection<Message, Sent, State>): void;
  /** It has another handle now. */
  returned(connection: ReactorConnection<Message, Sent, State>, handle: Handle): void;
}

interface Move {
  /** Takes it over. @throws DataCloneError: it stays */
  readonly hand: (moved: MovedConnection) => void;
  readonly stayed: () => void;
}

/** What keeps a connection where it is. */
const ENDING = CLOSING | OUTPUT_ENDING | GONE;
const STAYS = ENDING | PEER_ENDED | DRAINING | MOVING | IMMOBILE;
const NO_BYTES = Buffer.alloc(0);

export class Moving<Message, Sent, State> {
  readonly #reactor: MovingReactor<Message, Sent, State>;
  readonly #moves = new Map<ReactorConnection<Message, Sent, State>, Move>();
  readonly #leaving = new Map<Handle, ReactorConnection<Message, Sent, State>>();

  constructor(reactor: MovingReactor<Message, Sent, State>) {
    this.#reactor = reactor;
  }

  /**
   * Begins to move a connection: false when it is one that stays. `hand` is called once, later, with what is then the
   * receiver's; or `stayed`.
   */
  start(
    connection: ReactorConnection<Message, Sent, State>,
    hand: Move["hand"],
    stayed: Move["stayed"],
  ): boolean {
    const { driver } = this.#reactor;
    if (!driver.capabilities.moves || (connection.flags & STAYS) !== 0) return false;
    if (!this.#reactor.serves(connection) || connection.decoder.kept === undefined) return false;
    this.#reactor.rest?.end(connection);
    connection.flags |= MOVING;
    this.#moves.set(connection, { hand, stayed });
    this.proceed(connection);
    return true;
  }

  /** A reason to wait may be gone: its handler has settled, or all is sent. */
  proceed(connection: ReactorConnection<Message, Sent, State>): void {
    if ((connection.flags & (ENDING | DRAINING)) !== 0) return this.stay(connection);
    if ((connection.flags & (BUSY | LEAVING)) !== 0 || connection.pendingBytes > 0) return;
    if (this.#reactor.driver.detach(connection.handle) < 0) return this.stay(connection);
    connection.flags |= LEAVING;
    this.#leaving.set(connection.handle, connection);
    this.#reactor.driver.wake();
  }

  /** It is not to be moved after all, as far as that can still be. */
  stay(connection: ReactorConnection<Message, Sent, State>): void {
    if ((connection.flags & LEAVING) !== 0) return;
    connection.flags &= ~MOVING;
    this.#take(connection)?.stayed();
    this.#reactor.incoming.goOn(connection);
  }

  /** The driver has let go of a handle; false: of none that moves. */
  detached(handle: Handle, descriptor: number): boolean {
    const connection = this.#leaving.get(handle);
    if (connection === undefined) return false;
    this.#leaving.delete(handle);
    const move = this.#take(connection);
    const goes = move !== undefined && (connection.flags & (ENDING | DRAINING)) === 0;
    if (goes) this.#reactor.milestones.departed(connection);
    if (goes && this.#hand(connection, descriptor, move)) {
      connection.flags |= ENDING;
      this.#reactor.departed(connection);
      return true;
    }
    this.#back(connection, descriptor, goes);
    move?.stayed();
    return true;
  }

  /** A connection from another reactor; false: there is no room for it, and it is still the caller's. */
  arrive(moved: MovedConnection): boolean {
    const { driver, incoming, writing, publishing, milestones } = this.#reactor;
    if (moved.orphaned && !this.#reactor.hasRoom()) return false;
    const handle = driver.adopt(moved.descriptor);
    if (handle < 0) return false;
    const connection = this.#reactor.arrived(handle, moved);
    if (connection === undefined) {
      driver.close(handle, true);
      return true;
    }
    connection.flags |= DRIVER_PAUSED;
    if (moved.hasSpoken) connection.flags |= HAS_SPOKEN;
    if (moved.paused) connection.flags |= PAUSED;
    if (moved.input.length > 0) incoming.restore(connection, moved.input);
    if (moved.output.length > 0) writing.write(connection, moved.output);
    for (const topic of moved.topics) publishing.subscribe(connection, topic);
    if (moved.orphaned) milestones.adopted(connection);
    else milestones.arrived(connection);
    // All others here were told before it came.
    if (this.#reactor.drains()) milestones.draining(connection);
    incoming.goOn(connection);
    driver.wake();
    return true;
  }

  #take(connection: ReactorConnection<Message, Sent, State>): Move | undefined {
    const move = this.#moves.get(connection);
    this.#moves.delete(connection);
    return move;
  }

  /** False: it stays. Its `departed` handler may have closed it, and its state may be one that cannot be cloned. */
  #hand(
    connection: ReactorConnection<Message, Sent, State>,
    descriptor: number,
    { hand }: Move,
  ): boolean {
    if ((connection.flags & ENDING) !== 0) return false;
    try {
      const moved = this.#moved(connection, descriptor);
      this.#reactor.driver.letGo(descriptor);
      hand(moved);
      return true;
    } catch (error) {
      connection.flags |= IMMOBILE;
      connection.table.report(error);
      return false;
    }
  }

  #moved(connection: ReactorConnection<Message, Sent, State>, descriptor: number): MovedConnection {
    const { driver, sends } = this.#reactor;
    const { id, state, decoder, unread, topics, flags } = connection;
    const now = driver.now();
    const unhandled = unread?.bytes.subarray(unread.offset, unread.end) ?? NO_BYTES;
    return {
      descriptor,
      id,
      state,
      input: joined(decoder.kept?.() ?? NO_BYTES, unhandled),
      output: sends.copy(connection),
      topics: [...(topics ?? [])],
      silentMs: now - connection.activeMs,
      unsentMs: now - connection.sentMs,
      hasSpoken: (flags & HAS_SPOKEN) !== 0,
      paused: (flags & PAUSED) !== 0,
      orphaned: false,
    };
  }

  /** `told`: its handlers believe that it has left. */
  #back(
    connection: ReactorConnection<Message, Sent, State>,
    descriptor: number,
    told: boolean,
  ): void {
    const { driver, closing, incoming, sends, milestones } = this.#reactor;
    connection.flags = (connection.flags & ~(MOVING | LEAVING)) | DRIVER_PAUSED;
    const handle = driver.adopt(descriptor);
    if (handle < 0) {
      // Nobody else can have taken its slot: the descriptor itself is broken.
      closeDescriptor(descriptor);
      throw new Error(`a connection could not be taken back (${handle}): a bug, please report it`);
    }
    this.#reactor.returned(connection, handle);
    if (told) milestones.arrived(connection);
    closing.returned(connection);
    sends.goOn(connection);
    incoming.goOn(connection);
    driver.wake();
  }
}

/** In memory of its own: of a piece of Node's pool all of it would be cloned. */
function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}
