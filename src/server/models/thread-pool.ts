// thread-pool: N threads with blocking calls, and a bounded queue of accepted connections in shared memory. A thread serves the
// connection that it has taken until that closes.
//
// The lesson: a connection occupies its thread also while it is silent. N idle ones starve everybody behind them, whatever
// the machine could do; and a queue only hides that for a while, so it is bounded.

import { BlockingThreads } from "../blocking-threads.ts";
import type { ModelPlan, RunningModel } from "./model.ts";

export async function startThreadPool(plan: ModelPlan): Promise<RunningModel> {
  const { threads, limits } = plan.options;
  const { queuedConnections } = limits;
  const pool = new BlockingThreads(plan, {
    queued: queuedConnections,
    // The queue's own room is a power of two, and may be more.
    place: ({ queue }, descriptor) => queue.length < queuedConnections && queue.put(descriptor),
    full:
      `all ${threads} threads of the pool serve a connection and ${queuedConnections} wait: more are refused. ` +
      "Raise threads or limits.queuedConnections, lower limits.idleMs, or use multi-reactor",
  });
  await pool.open(threads);
  return pool;
}
