// hybrid: multi-reactor, and beside the reactors a pool of threads that compute. What a handler marks heavy runs there, while
// the reactors go on with everything else; its connection alone waits for it.
//
// Ends in the order in which it is used: first the reactors, which may still wait for results, then the pool.

import { ComputeThreads } from "../compute-threads.ts";
import type { ModelPlan, RunningModel } from "./model.ts";
import { startMultiReactor } from "./multi-reactor.ts";

export function startHybrid(plan: ModelPlan): Promise<RunningModel> {
  return startMultiReactor(plan, (threads) => new ComputeThreads(threads));
}
