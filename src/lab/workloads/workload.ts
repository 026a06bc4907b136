// What is said to the target: requests, and what their answers must be. One file a workload beside this one.
//
// A workload belongs to one generator thread and is called for each message, so it works in place: requests lie in the
// driver's output memory, answers are looked at where the driver received them.
// Answers come in the order of their requests on each connection, unless the workload says which one each answers; the
// generator keeps the times.

import type { Random } from "../../driver/random.ts";
import type { Sizes } from "../sizes.ts";

/** `Session` is what the workload keeps of one connection. */
export interface Workload<Session = unknown> {
  /** Output memory that it needs, in bytes. */
  readonly outputBytes: number;
  /** Where the last `compose` laid its requests in the output memory. */
  readonly batch: { readonly offset: number; readonly length: number };
  /**
   * Where answers may overtake each other: how many requests of the connection were composed after the one that the n-th answer
   * of the last `received` answers. Undefined: they come in order.
   */
  readonly behind?: readonly number[];
  /** Gives it its memory, once, before anything else. */
  attach(output: Buffer): void;
  /** Of a connection that is new; `index` counts the connections of this thread. */
  session(index: number): Session;
  /**
   * Lays the next requests of a connection in one piece, at most `most` (≥ 1) of them: how many it took. 0: not before
   * another answer has come. They stay unchanged until they are sent.
   */
  compose(session: Session, most: number): number;
  /**
   * Takes received bytes: how many answers are complete with them.
   * @throws AnswerError when they are wrong in a way after which the connection is of no use
   */
  received(session: Session, input: Buffer, offset: number, length: number): number;
  /**
   * The target has said that it ends this connection, in order, behind the answer that is complete: what is sent on it now is
   * not answered. Another one takes its place. For workloads whose answers come in order.
   */
  isLast?(session: Session): boolean;
  /**
   * If the target ends this connection now, it does so as its protocol allows: it has answered before, no byte of the next answer
   * has come, and what is out may be asked again. For workloads whose answers come in order.
   */
  endsBetween?(session: Session): boolean;
}

/** What a workload is made with. */
export interface WorkloadContext {
  readonly sizes: Sizes;
  /** Compare the content of answers, not only their number. */
  readonly verify: boolean;
  readonly random: Random;
  /** Of the target, for protocols that name it. */
  readonly host: string;
  /** What is asked for, in protocols that have paths. */
  readonly path: string;
  /** Connections of this thread. */
  readonly connections: number;
  /** The URL of the user's module, for the workload that is one. */
  readonly scenario: string | undefined;
  /** Counts an answer that is an error of the target's; its connection goes on. */
  readonly report: (code: string, text: string) => void;
}

/** Bytes that end a connection: `code` is one of result.ts' ERROR_TEXTS, the message says what was wrong. */
export class AnswerError extends Error {
  override readonly name = "AnswerError";
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}
