// What a reactor is made with: its share of a server, and the ways out of it.

import type { Driver, DriverEvents } from "../driver/driver.ts";
import type { Handlers } from "../handlers.ts";
import type { Limits } from "../limits.ts";
import type { Compute } from "./computing.ts";
import type { PlacementSeat } from "./placement.ts";
import type { Mail, SlowSubscriberPolicy } from "./publishing.ts";
import type { OverflowPolicy } from "./writing.ts";

export interface ReactorOptions<Message, Sent, State> {
  readonly handlers: Handlers<Message, Sent, State>;
  /** This reactor's share of the server's limits. */
  readonly limits: Limits;
  readonly overflow: OverflowPolicy;
  /** `drop` when it is left out. */
  readonly slowSubscriber?: SlowSubscriberPolicy;
  /** The way to the server's other threads and back; a reactor that is no server's has none. */
  readonly mail?: Mail;
  readonly slots: number;
  /** Computes what handlers mark heavy; they do it themselves, in place, where nobody else does. */
  readonly compute?: Compute | undefined;
  /** One entry, shared by all reactors of a server: the id that a connection was given last. Default: one of its own. */
  readonly ids?: Int32Array | undefined;
  /** COUNTER_STRIDE doubles that only this reactor writes. */
  readonly counters: Float64Array;
  /** Told of everything a handler throws. */
  readonly report: (error: unknown) => void;
  /** Overwrite borrowed bytes after the handler's call. */
  readonly poison: boolean;
  /** Where it says what it is doing, for a thread that watches over this one: see pulse.ts. */
  readonly pulse?: Int32Array | undefined;
  /**
   * Where it says which connections are at rest, an entry a slot, for whoever hands them on when this thread dies; left out,
   * nobody does. Shared with its driver.
   */
  readonly rests?: Int32Array | undefined;
  /** Told, in the middle of a turn, when the last connection has gone and nothing is being connected. */
  readonly emptied?: () => void;
  /** Where accepted connections go, when other reactors are to get some: this one's seat among them. */
  readonly placement?: PlacementSeat | undefined;
  /** Makes the driver; the reactor is its sink. */
  readonly makeDriver: (events: DriverEvents) => Driver;
}
