// A client comes back to another thread than the one that has its session: the session moves.
//
//   here                                         there
//   asks all threads  ───────────────────────►   catches up, ends the old connection, takes the session apart
//   keeps a copy of all that is published
//                     ◄───────────────────────   what is kept, the subscriptions, and what it has seen of each thread
//   adds what it has not seen, and goes on
//
// The twist: while it moves, third threads publish. Every publication carries its thread's number for it, and mailboxes keep
// the order of one sender: so it is known, for each sender, where there stopped and here must begin. Nothing is lost, nothing
// comes twice. (A queue group may lose a message that was meant for a member who is moving: groups share work, they do not
// keep it.)

import { Buffer } from "node:buffer";
import type { KeptFrame, Replay } from "../protocol/replay.ts";
import type { Subscription } from "./subscription.ts";
import type { Published } from "./topics.ts";

/** "Who has this session?" */
export interface SessionQuestion {
  readonly swp: "session?";
  readonly from: number;
  /** Which of this thread's questions it is. */
  readonly question: number;
  /** When it was asked, in ms of the process's clock. */
  readonly askedMs: number;
  readonly id: Uint8Array;
  readonly secret: Uint8Array;
  /** What the asking thread has seen by then, and does not keep: the other one must have seen it too. */
  readonly seen: ReadonlyMap<number, number>;
}

/** The answer of one thread; undefined: not here. */
export interface SessionAnswer {
  readonly swp: "session!";
  readonly to: number;
  readonly question: number;
  readonly state: SessionState | undefined;
}

export interface SessionState {
  readonly replay: ReplayState;
  readonly subscriptions: readonly SubscriptionState[];
  /** The last publication of each thread that is in it. */
  readonly seen: ReadonlyMap<number, number>;
}

interface ReplayState {
  readonly sent: number;
  readonly received: number;
  readonly kept: readonly KeptFrame[];
}

export interface SubscriptionState {
  readonly stream: number;
  readonly pattern: string;
  readonly codec: number;
  readonly group: string;
  readonly policy: number;
  readonly credit: number;
}

/** A session taken apart for the way. */
export function stateOf(
  replay: Replay,
  subscriptions: readonly Subscription[],
  seen: ReadonlyMap<number, number>,
): SessionState {
  const { sent, received } = replay;
  return {
    replay: { sent, received, kept: replay.after((sent - replay.kept) >>> 0) },
    subscriptions: subscriptions.map((subscription) => subscription.state),
    seen,
  };
}

/** Puts a replay's state into another one. */
export function restoreReplay(into: Replay, { sent, received, kept }: ReplayState): void {
  into.sent = sent;
  into.received = received;
  for (const frame of kept) into.keep({ ...frame, payload: Buffer.from(frame.payload) });
}

/** So much may be published while a session moves; beyond it the session is given up. */
const MOST_MEANWHILE = 4096;
/** After so long nobody waits for an answer any more. */
export const PATIENCE_MS = 1000;
/** Questions that nobody waits for are known for so long: a session that comes all the same is kept for its client. */
const LATE_MS = 1000;
const MOST_LATE = 64;

/** How much longer an answer to it can be of use, in ms: the way there has taken a while, and so will the way back. */
export function usefulMs({ askedMs }: SessionQuestion): number {
  return PATIENCE_MS / 2 - (nowMs() - askedMs);
}

/** The same in all threads, unlike `performance.now`. */
function nowMs(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}

/** What one thread is waiting for. */
interface Move {
  readonly meanwhile: Published[];
  answers: number;
  /** Nobody waits for it any more. */
  late: boolean;
  readonly asker: Asker;
  timer: NodeJS.Timeout;
}

/** Who asks for a session; told with what was published on its way. */
export interface Asker {
  /** It is here; undefined: it cannot be had. */
  answered(state: SessionState | undefined, meanwhile: readonly Published[]): void;
  /** It has come after that was said. */
  cameLate(state: SessionState, meanwhile: readonly Published[]): void;
}

export class SessionHandover {
  readonly #thread: number;
  readonly #threads: number;
  readonly #tell: (data: SessionQuestion | SessionAnswer) => boolean;
  /** By the question. */
  readonly #moves = new Map<number, Move>();
  #asked = 0;

  constructor(
    thread: number,
    threads: number,
    tell: (data: SessionQuestion | SessionAnswer) => boolean,
  ) {
    this.#thread = thread;
    this.#threads = threads;
    this.#tell = tell;
  }

  /** Asks the others for a session. */
  ask(id: Buffer, secret: Buffer, seen: ReadonlyMap<number, number>, asker: Asker): void {
    if (this.#threads === 1) return asker.answered(undefined, []);
    const question = ++this.#asked;
    const timer = setTimeout(() => this.#giveUp(question), PATIENCE_MS);
    timer.unref();
    this.#moves.set(question, { meanwhile: [], answers: 0, late: false, asker, timer });
    const [from, askedMs] = [this.#thread, nowMs()];
    const asked = this.#tell({ swp: "session?", from, question, askedMs, id, secret, seen });
    if (!asked) this.#giveUp(question);
  }

  /** Every publication that this thread sees. */
  saw(published: Published): void {
    for (const [question, { meanwhile }] of this.#moves) {
      meanwhile.push(published);
      if (meanwhile.length > MOST_MEANWHILE) this.#finish(question, undefined);
    }
  }

  answer({ from, question }: SessionQuestion, state: SessionState | undefined): void {
    const answer = { swp: "session!", to: from, question } as const;
    try {
      if (this.#tell({ ...answer, state })) return;
    } catch (error) {
      // More than a mailbox takes at once: the session is given up.
      if (!(error instanceof RangeError)) throw error;
    }
    // When even this does not get through, the other one's patience ends.
    if (state !== undefined) this.#tell({ ...answer, state: undefined });
  }

  heard({ to, question, state }: SessionAnswer): void {
    const move = to === this.#thread ? this.#moves.get(question) : undefined;
    if (move === undefined) return;
    move.answers++;
    if (state !== undefined || move.answers === this.#threads - 1) this.#finish(question, state);
  }

  /** The asker is told that it cannot be had; some thread may have sent it all the same. */
  #giveUp(question: number): void {
    const move = this.#moves.get(question);
    if (move === undefined) return;
    const [oldest, ...others] = [...this.#moves].filter(([, { late }]) => late);
    if (oldest !== undefined && others.length + 1 >= MOST_LATE) this.#finish(oldest[0], undefined);
    clearTimeout(move.timer);
    move.late = true;
    move.timer = setTimeout(() => this.#finish(question, undefined), LATE_MS);
    move.timer.unref();
    move.asker.answered(undefined, []);
  }

  #finish(question: number, state: SessionState | undefined): void {
    const move = this.#moves.get(question);
    if (move === undefined) return;
    this.#moves.delete(question);
    clearTimeout(move.timer);
    const { asker, meanwhile, late } = move;
    if (!late) asker.answered(state, meanwhile);
    else if (state !== undefined) asker.cameLate(state, meanwhile);
  }
}

/** Of what was published meanwhile that which the state has not seen. */
export function unseen(
  { seen }: SessionState,
  meanwhile: readonly Published[],
): readonly Published[] {
  return meanwhile.filter(({ from, number }) => number > (seen.get(from) ?? 0));
}
