// No thread that calls native functions ends while V8 optimises its code in the background.
//
// Why: when a thread ends, Node 26.10 frees what describes its native functions while V8 may still be compiling code that
// calls them. That kills the whole process (SIGSEGV, or "Check failed: FastApiCallNode::ArityForArgc"): one of five drains
// under load, and whoever terminates a busy thread plays the same game. So threads that the server starts optimise in the
// foreground (decision 0018), which holds however they end. A thread of somebody else's waits for these compilations as its
// last thing; nothing public does, but beginning to count coverage does, as its first step.

import { Session } from "node:inspector";
import { setFlagsFromString } from "node:v8";
import type { Worker } from "node:worker_threads";

/** Threads that are being made. */
let starting = 0;

/**
 * Makes a worker whose V8 optimises in the foreground. The flag is read when the thread makes its V8; it is the process's, so
 * it is on only until then. A process that was itself started with such a flag keeps it.
 */
export function makeForegroundWorker(make: () => Worker): Worker {
  if (isFlagTheUsers()) return make();
  if (starting++ === 0) setFlagsFromString("--no-concurrent-recompilation");
  let made = false;
  const ready = () => {
    if (made) return;
    made = true;
    if (--starting === 0) setFlagsFromString("--concurrent-recompilation");
  };
  try {
    return make().once("online", ready).once("exit", ready);
  } catch (error) {
    ready();
    throw error;
  }
}

function isFlagTheUsers(): boolean {
  const given = `${process.execArgv.join(" ")} ${process.env.NODE_OPTIONS ?? ""}`;
  return /concurrent.recompilation|single.threaded|predictable/.test(given);
}

/** Costs a millisecond; code that runs afterwards in this thread is slower. */
export function settleCompilation(): void {
  try {
    const session = new Session();
    session.connect();
    session.post("Profiler.enable");
    session.post("Profiler.startPreciseCoverage", { callCount: false, detailed: false });
  } catch (error) {
    // A Node without the inspector, or a permission model that forbids it: the thread then ends as it is.
    if (!(error instanceof Error && "code" in error)) throw error;
  }
}

/** Does so whenever this thread ends by itself: at its end, at process.exit, after an uncaught exception. */
export function settleCompilationAtExit(): void {
  if (!process.listeners("exit").includes(settleCompilation)) {
    process.on("exit", settleCompilation);
  }
}
