// What the main thread and a generator thread say to each other. Between messages a thread is in its event loop; while it
// runs a stage it looks at nothing but the shared word that orders it to stop.

import type { LoadPlan } from "./load-plan.ts";
import type { ErrorFigures } from "./result.ts";
import type { StageReading } from "./stage.ts";

export interface ThreadStart {
  /** This thread's share. */
  readonly plan: LoadPlan;
  readonly index: number;
  readonly recorder: SharedArrayBuffer;
  /** STOP_WORD is not 0: end the stage. */
  readonly control: SharedArrayBuffer;
}

export const STOP_WORD = 0;
export const CONTROL_BYTES = 64;

export interface StageOrder {
  readonly kind: "stage";
  /** Messages/s of this thread; 0 where there is no rate. */
  readonly rate: number;
  /** When the load begins, and when the window does, in ms since 1970 (performance.timeOrigin + performance.now()). */
  readonly startEpochMs: number;
  readonly beginEpochMs: number;
}

export type ToThread = { readonly kind: "open" } | StageOrder | { readonly kind: "close" };

export type FromThread =
  | { readonly kind: "opened"; readonly open: number; readonly errors: readonly ErrorFigures[] }
  | {
      readonly kind: "stage";
      readonly reading: StageReading;
      readonly errors: readonly ErrorFigures[];
    }
  | { readonly kind: "closed" }
  | { readonly kind: "broken"; readonly message: string; readonly usage: boolean };
