// When messages leave: the closed loop, the open loop and churn each are one, in a file of their own.

import type { LoadConnection } from "./load-connection.ts";
import type { Recorder } from "./recorder.ts";
import type { ERROR_TEXTS } from "./result.ts";

/** What a pace needs of its generator. */
export interface Paced {
  readonly connections: readonly LoadConnection[];
  readonly recorder: Pick<Recorder, "lateness" | "add">;
  /** The window, on the thread's clock. */
  readonly windowBeginMs: number;
  readonly windowEndMs: number;
  /** Connections that are open. */
  readonly openCount: number;
  /** Messages that are due and not answered, over all connections. */
  readonly outstanding: number;
  /** `count` messages (1 unless told) of this connection are due, and were meant to leave then. */
  want(connection: LoadConnection, intendedMs: number, count?: number): void;
  connect(connection: LoadConnection, nowMs: number): void;
  close(connection: LoadConnection): void;
  fail(connection: LoadConnection, code: keyof typeof ERROR_TEXTS, detail: string): void;
}

export interface Pace {
  /**
   * Which messages count in a window: those that were meant to leave within it (a late answer must not fall out), or those
   * that were answered within it.
   */
  readonly counts: "intended" | "answered";
  /** What response times are measured from: when a message was meant to leave, or when it left. */
  readonly from: "intended" | "left";
  /** Lets due messages out (`Generator.want`). In how many ms it must be asked again; Infinity: not before an event. */
  step(nowMs: number): number;
  /** `count` messages of a connection were answered. */
  answered(connection: LoadConnection, count: number, nowMs: number): void;
  /** A connection has been set up. */
  opened(connection: LoadConnection, nowMs: number): void;
  /** A connection could not be set up or has failed. */
  failed(connection: LoadConnection, nowMs: number): void;
  /** After what is due by now, no more messages become due: what is out is waited for. */
  stop(nowMs: number): void;
}
