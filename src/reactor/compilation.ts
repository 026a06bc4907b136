// Waits until V8 optimises nothing in the background any more: the last thing a thread that calls native functions does.
//
// Why: when a thread ends, Node 26.10 frees what describes its native functions while V8 may still be compiling code that
// calls them. That kills the whole process (SIGSEGV, or "Check failed: FastApiCallNode::ArityForArgc"): seen in one of five
// drains under load, and in 0 of 75 since this is done. Nothing public waits for these compilations, but
// beginning to count coverage does, as its first step.

import { Session } from "node:inspector";

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
