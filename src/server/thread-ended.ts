// What `onError` is told about threads: one has ended by itself, or is about to be ended because it does not get on.

/**
 * Why a thread ended:
 * - `exit`: process.exit was called in it, or it was terminated
 * - `error`: it threw where nobody could catch it, see `cause`
 * - `heap`: its JavaScript heap reached `limits.heapBytes`
 * - `blocked`: it was busy with one thing for `limits.blockedMs`
 * - `start`: it could not start, see `cause`
 */
export type ThreadEndReason = "exit" | "error" | "heap" | "blocked" | "start";

/** A thread has ended by itself; another takes its place, unless the server gave up. */
export class ThreadEndedError extends Error {
  override readonly name = "ThreadEndedError";
  readonly code = "ERR_SLUICE_THREAD_ENDED";
  readonly reason: ThreadEndReason;
  /** Its number, from 0. */
  readonly thread: number;
  /** How many connections ended with it. */
  readonly connections: number;
  /** How many go on in other threads (`adoptOrphans`). */
  readonly adopted: number;

  constructor(
    thread: number,
    reason: ThreadEndReason,
    connections: { readonly ended: number; readonly adopted: number },
    text: string,
    cause: unknown,
  ) {
    super(text, cause === undefined ? undefined : { cause });
    this.thread = thread;
    this.reason = reason;
    this.connections = connections.ended;
    this.adopted = connections.adopted;
  }
}

/** A thread has been busy with one thing for a while. At `limits.blockedMs` it is ended. */
export class ThreadBlockedError extends Error {
  override readonly name = "ThreadBlockedError";
  readonly code = "ERR_SLUICE_THREAD_BLOCKED";
  readonly thread: number;
  readonly blockedMs: number;

  constructor(thread: number, blockedMs: number, text: string) {
    super(text);
    this.thread = thread;
    this.blockedMs = blockedMs;
  }
}
