// The entry of a worker thread: loads the handler module, runs one reactor, does what the server's port says.
//
// It never ends by itself, the server ends it: a thread that exits may do so before its last message is delivered.

import { workerData } from "node:worker_threads";
import { sharesDescriptors } from "../driver/choices.ts";
import { loadDriver } from "../driver/load-driver.ts";
import { settleCompilation } from "../reactor/compilation.ts";
import type { Address } from "../sys/address.ts";
import { pinThread } from "../sys/affinity.ts";
import { SystemError } from "../sys/errno.ts";
import { ComputeClient } from "./compute-client.ts";
import { isComputePort, READY_FOR_PORTS } from "./compute-messages.ts";
import { loadHandlers } from "./handler-module.ts";
import { isMove } from "./moves.ts";
import { ReactorThread } from "./reactor-thread.ts";
import {
  cloneable,
  errorToSend,
  type FromWorker,
  LOADED,
  RETIRED,
  type ReactorStart,
  type ToReactor,
  type ToWorker,
  type WithPort,
} from "./worker-messages.ts";

async function run(start: ReactorStart & WithPort): Promise<void> {
  const say = (message: FromWorker<Address>) => start.port.postMessage(message);
  let thread: ReactorThread | undefined;
  const compute = start.compute === undefined ? undefined : new ComputeClient(start.compute);
  const retired = () => say({ kind: "model", message: RETIRED });
  // From the beginning: it also keeps a thread that has failed alive until its server has heard of it.
  start.port.on("message", async (message: ToWorker) => {
    if (message.kind === "model") {
      const said = message.message;
      if (isComputePort(said)) compute?.connect(said);
      else if (isMove(said)) thread?.moves.heard(said);
      else thread?.hear(said as ToReactor);
      return;
    }
    const clean = (await thread?.close(message.drainMs, message.graceMs, retired)) ?? true;
    compute?.close();
    // The server terminates this thread then, which is no exit that it would be told of.
    if (sharesDescriptors(start.driver)) settleCompilation();
    say({ kind: "closed", clean });
  });
  try {
    const failed = start.core === undefined ? 0 : pinThread(start.core);
    if (failed < 0) throw new SystemError("sched_setaffinity", failed, `core ${start.core}`);
    thread = new ReactorThread({
      makeDriver: await loadDriver(start.driver),
      handlers: await loadHandlers(new URL(start.module)),
      limits: start.limits,
      overflow: start.overflow,
      slowSubscriber: start.slowSubscriber,
      place: start.place,
      counters: start.counters,
      notes: start.notes,
      rests: start.rests,
      ids: start.ids,
      placement: start.placement,
      pulse: start.pulse,
      compute: compute?.compute,
      say: (message) => say({ kind: "model", message }),
      report: (error) => say({ kind: "error", error: cloneable(error) }),
    });
    say({ kind: "model", message: LOADED });
    if (compute !== undefined) say({ kind: "model", message: READY_FOR_PORTS });
    say({ kind: "ready", ready: await thread.listen(start.target) });
  } catch (error) {
    say({ kind: "failed", error: errorToSend(error) });
  }
}

await run(workerData as ReactorStart & WithPort);
