// The entry of a compute thread: loads the handler module and runs its `compute` for the reactors, one task after the other.
//
// It gives way to the reactors: on a busy machine it gets what they leave, so that heavy messages cost the light ones little.

import type { MessagePort } from "node:worker_threads";
import { workerData } from "node:worker_threads";
import type { AnyHandlers } from "../checks.ts";
import { OptionError } from "../limits.ts";
import { settleCompilation } from "../reactor/compilation.ts";
import { nativeRefusal } from "../sys/native-library.ts";
import { setNiceness } from "../sys/priority.ts";
import { ownThread } from "../sys/thread-time.ts";
import {
  COMPUTE_STEPS,
  COMPUTE_THREAD,
  type ComputePort,
  type ComputeStart,
  type Computes,
  type FromCompute,
  isComputePort,
  packed,
  READY_FOR_PORTS,
  type ToCompute,
  unpacked,
} from "./compute-messages.ts";
import { ComputeSignal } from "./compute-signal.ts";
import { loadHandlers } from "./handler-module.ts";
import {
  cloneable,
  errorToSend,
  type FromWorker,
  type ToWorker,
  type WithPort,
} from "./worker-messages.ts";

/** Nice, but not the nicest: others may be meant to be less than this. */
const NICENESS = 10;

async function run(start: ComputeStart & WithPort): Promise<void> {
  const say = (message: FromWorker<Computes>) => start.port.postMessage(message);
  const native = nativeRefusal() === undefined;
  let handlers: AnyHandlers | undefined;
  start.port.on("message", (message: ToWorker) => {
    if (message.kind === "model") {
      if (isComputePort(message.message) && handlers) serve(handlers, message.message, start.beat);
      return;
    }
    if (native) settleCompilation();
    say({ kind: "closed", clean: true });
  });
  try {
    handlers = await loadHandlers(new URL(start.module));
    const computes = handlers.compute !== undefined;
    if (!computes && start.wanted) {
      throw new OptionError(
        `compute threads need compute and computed in ${start.module}: leave computeThreads out, or write what runs in them`,
      );
    }
    if (native) setNiceness(NICENESS);
    start.beat[COMPUTE_THREAD] = ownThread();
    say({ kind: "ready", ready: computes });
    if (computes) say({ kind: "model", message: READY_FOR_PORTS });
  } catch (error) {
    say({ kind: "failed", error: errorToSend(error) });
  }
}

/** Does what comes from one reactor, for as long as that lives. */
function serve(handlers: AnyHandlers, { port, cancelled }: ComputePort, beat: Int32Array): void {
  if (cancelled === undefined) throw new Error("a compute thread needs to know what is cancelled");
  const running = new Map<number, ComputeSignal>();
  port.on("message", async (message: ToCompute) => {
    const { slot } = message;
    // Asked, it tells whoever waits for its event.
    if (message.kind === "cancel") return void running.get(slot)?.isCancelled;
    const signal = new ComputeSignal(cancelled, slot);
    if (signal.isCancelled) return answer(port, slot, undefined);
    running.set(slot, signal);
    step(beat);
    try {
      const result = handlers.compute?.(unpacked(message.task, message.isBuffer), signal.signal);
      answer(port, slot, await result);
    } catch (error) {
      port.postMessage({ slot, error: cloneable(error) } satisfies FromCompute);
    } finally {
      running.delete(slot);
      step(beat);
    }
  });
}

/** It gets on: see watchdog.ts. */
function step(beat: Int32Array): void {
  beat[COMPUTE_STEPS] = ((beat[COMPUTE_STEPS] as number) + 1) | 0;
}

/** @throws DOMException for a result that cannot be cloned */
function answer(port: MessagePort, slot: number, result: unknown): void {
  const { value, isBuffer } = packed(result);
  port.postMessage({ slot, result: value, isBuffer } satisfies FromCompute);
}

await run(workerData as ComputeStart & WithPort);
