// Stands between us and a server that we start, so that the server ends whatever becomes of us: also of SIGKILL, a crash, or
// a power cut to the terminal. `node process-guard.ts PROGRAM ARGUMENT…`, with an IPC channel to whoever started it.
//
// How: the server runs in a session of its own, so all that it starts can be ended together. When the channel breaks, for
// whatever reason, the guard kills that session's group. (PR_SET_PDEATHSIG would need a call between fork and exec, which
// Node does not have, and is not passed on to grandchildren.) What leaves the group by itself, a daemon, escapes.

import { spawn } from "node:child_process";

export type FromGuard =
  | { readonly kind: "started"; readonly pid: number }
  | { readonly kind: "failed"; readonly message: string }
  | { readonly kind: "ended"; readonly code: number | null; readonly signal: string | null };

/** The signal to send to all of the server's processes. */
export type ToGuard = NodeJS.Signals;

const [program = "", ...args] = process.argv.slice(2);
const child = spawn(program, args, { stdio: ["ignore", "inherit", "inherit"], detached: true });

function say(message: FromGuard): void {
  // Nobody may be there any more to hear it.
  if (process.connected) process.send?.(message);
}

function signalAll(signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    // All have ended already.
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

child.once("spawn", () => say({ kind: "started", pid: child.pid ?? -1 }));
child.once("error", (error) => {
  say({ kind: "failed", message: error.message });
  process.disconnect?.();
});
child.once("exit", (code, signal) => {
  // What it has left behind in its group.
  signalAll("SIGKILL");
  say({ kind: "ended", code, signal });
  process.disconnect?.();
});
process.on("message", (signal: ToGuard) => signalAll(signal));
process.on("disconnect", () => signalAll("SIGKILL"));
