// event-loop: one reactor in the calling thread, beside everything else that runs there. No threads, no locks; one core.

import { deferred } from "../../deferred.ts";
import { sharesDescriptors } from "../../driver/choices.ts";
import { loadDriver } from "../../driver/load-driver.ts";
import { shareOf } from "../../limits.ts";
import { countersOf } from "../../reactor/counters.ts";
import { loadHandlers } from "../handler-module.ts";
import { claimAddress, listenAddress, openSharedListener, ownTarget } from "../listener.ts";
import { ReactorThread } from "../reactor-thread.ts";
import { ALONE } from "../thread-mail.ts";
import type { ModelPlan, RunningModel } from "./model.ts";

export async function startEventLoop(plan: ModelPlan): Promise<RunningModel> {
  const { options, driver } = plan;
  const handlers =
    "table" in plan.handlers ? plan.handlers.table : await loadHandlers(plan.handlers.module);
  const wanted = await listenAddress(options);
  const listener = sharesDescriptors(driver.driver)
    ? openSharedListener(wanted, options)
    : undefined;
  if (listener === undefined) await claimAddress(wanted);
  const thread = new ReactorThread({
    makeDriver: await loadDriver(driver.driver),
    handlers,
    limits: shareOf(options.limits, 1),
    overflow: options.overflow,
    slowSubscriber: options.slowSubscriber,
    place: ALONE,
    counters: countersOf(plan.counters, 0),
    report: options.onError,
  });
  const target =
    listener === undefined
      ? ownTarget(wanted, options)
      : { descriptor: listener.descriptor, shared: false };
  const ended = deferred<void>();
  try {
    const address = await thread.listen(target);
    return {
      address: listener?.address ?? address,
      mail: thread.mail,
      ended: ended.promise,
      async close(drainMs) {
        listener?.stop();
        const clean = await thread.close(drainMs);
        listener?.close();
        ended.resolve();
        return clean;
      },
    };
  } catch (error) {
    await thread.close(0);
    listener?.close();
    throw error;
  }
}
