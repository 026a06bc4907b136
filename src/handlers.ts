// What a user of Sluice writes, and what it is given: the table of handlers and the connection.

import type { Transferable } from "node:worker_threads";
import type { Codec } from "./codec/codec.ts";
import type { Address } from "./sys/address.ts";
import type { PeerCredentials, SocketOptions, TcpInfo } from "./sys/socket-calls.ts";

/**
 * Why a connection ended:
 * - `peer-ended`: the peer ended its stream, everything was answered
 * - `closed`: this side called `close` or `end`
 * - `reset`: this side called `reset`
 * - `error`: the operating system says so, see the error's `code` (ECONNRESET, EPIPE, ETIMEDOUT, …)
 * - `first-byte`, `idle`, `write`: that deadline passed
 * - `overflow`: more waited to be sent than the connection may hold
 * - `memory`: the memory limit of all connections is reached
 * - `protocol`: the codec refused what the peer sent, see the error
 * - `handler`: the handler threw or rejected, see the error
 * - `shutdown`: the server is closing
 */
export type CloseReason =
  | "peer-ended"
  | "closed"
  | "reset"
  | "error"
  | "first-byte"
  | "idle"
  | "write"
  | "overflow"
  | "memory"
  | "protocol"
  | "handler"
  | "shutdown";

/**
 * One connection. It belongs to the thread whose handler was given it: no call may come from another thread.
 * Calls on a connection that has ended do nothing; `open` says whether it has.
 */
export interface Connection<Sent = Uint8Array | string, State = unknown> {
  /** Unique among the connections of its server, also over time; it keeps it when it moves to another thread. */
  readonly id: number;
  /** Yours: whatever belongs to this connection. */
  state: State;
  /** Until close, end or reset is called or the connection fails. */
  readonly open: boolean;
  /** Bytes that wait to be sent. */
  readonly pendingBytes: number;
  /** The peer; undefined once the connection has ended. */
  readonly remoteAddress: Address | undefined;
  readonly localAddress: Address | undefined;
  /** What the kernel knows of it; undefined where the driver has no descriptors, or it has ended. */
  readonly tcpInfo: TcpInfo | undefined;
  /** The process at the other end of a Unix socket (SO_PEERCRED); undefined on TCP, and as above. */
  readonly peerCredentials: PeerCredentials | undefined;

  /**
   * Queues bytes (a string as UTF-8); they are copied, and leave together with all else that is written in this turn.
   * 8 KiB or more with nothing before them leave at once, as far as the kernel takes them: only the rest waits.
   * False: too much waits, or the connection has ended. At the hard bound the `overflow` policy decides.
   * @throws TypeError for what is neither a Uint8Array nor a string
   */
  write(data: Uint8Array | string): boolean;
  /**
   * Queues one message through the codec. As `write`.
   * @throws RangeError for a message that the codec cannot carry
   */
  send(message: Sent): boolean;
  /** Resolves when no more than the low-water mark waits to be sent; at once when it is so, and when it has ended. */
  drained(): Promise<void>;
  /** Ends the sending side after what is queued; the peer can still send. */
  end(): void;
  /** Sends what is queued, ends the stream, reads on to the peer's end or a deadline, and closes. */
  close(): void;
  /** Closes at once; the peer reads ECONNRESET, what is queued is dropped. */
  reset(): void;
  /** No more messages until `resume`. One that is being handled goes on. */
  pause(): void;
  resume(): void;
  /** Sets socket options. @throws SystemError with the errno's name as code */
  configure(options: SocketOptions): void;

  /** What this thread shares with the others. */
  readonly context: Context<Sent>;
  /** The topics that it is subscribed to. */
  readonly subscriptions: ReadonlySet<string>;
  /**
   * From here on it is sent what is published under this topic, in any thread. A topic is 1 to 16 tokens between dots;
   * here a token may be `*` (any one), and the last one `>` (one or more). What matches several is sent once.
   * False: at a limit (`connectionSubscriptions`, `subscriptions`), or the connection has ended.
   * @throws RangeError for a topic that is none
   */
  subscribe(topic: string): boolean;
  /** False when it was not subscribed to that. Closing does it by itself. */
  unsubscribe(topic: string): boolean;
  /** As `context.publish`, to everybody but this connection. */
  publish(topic: string, message: Sent): boolean;
}

/**
 * What one thread knows of the server, and how it reaches the other threads. It belongs to its thread, as connections do:
 * each thread has its own.
 */
export interface Context<Sent = Uint8Array | string> {
  /** This thread among the server's, from 0. One that takes the place of a dead one has its number. */
  readonly thread: number;
  /** How many there are. */
  readonly threads: number;
  /**
   * Sends a message to every connection, in every thread, that is subscribed to the topic. It goes through the codec once.
   *
   * Messages of one thread reach a connection in the order in which they were published; between threads there is no
   * order. A subscriber above its high-water mark is passed over (or closed: see `slowSubscriber`), and counted in
   * `statistics().deliveriesDropped`.
   *
   * False: the mailbox of at least one thread is full, and its connections do not get this message; counted in
   * `mailboxFull`. The others have it.
   * @throws RangeError for a topic that is none, a message that the codec cannot carry or that is longer than a mailbox
   *   (`limits.mailboxBytes`)
   */
  publish(topic: string, message: Sent): boolean;
  /**
   * Hands a value (anything that can be cloned; bytes arrive as a Buffer, and like strings take no cloning) to the
   * `broadcast` handler of every other thread. In the order of this
   * thread's broadcasts and publishes. False: at least one thread's mailbox is full, and it does not get this one.
   * @throws TypeError for a value that cannot be cloned, RangeError for one longer than a mailbox
   */
  broadcast(data: unknown): boolean;
  /**
   * The counter of that name, the same in every thread. It is there from 0 when the first one asks for it, and stays.
   * @throws RangeError for a name that is not 1 to 255 bytes, or when this thread has made too many (about 200)
   */
  counter(name: string): SharedCounter;
  /**
   * The map of that name, the same in every thread.
   * @throws RangeError for a name that is not 1 to 255 bytes, or has a NUL
   */
  map<Value = unknown>(name: string): SharedMap<Value>;
}

/** A number that all threads add to; nothing is lost, and nobody waits. Exact up to 2^53. It outlives every thread. */
export interface SharedCounter {
  readonly value: number;
  /** Adds an integer (1 when it is left out), which may be negative; the sum, as no other call has got it. */
  add(by?: number): number;
}

/**
 * Keys (strings, at most 1,024 bytes) and values (whatever can be cloned, but undefined) for all threads. What it holds is
 * owned by the thread that called `serve`: operations happen there one after the other, each whole; a thread that dies
 * loses nothing and blocks nobody; and while that thread computes, all wait.
 *
 * Each rejects with a SharedMapError when it was not done: `ERR_SLUICE_MAP_FULL` (`limits.mapBytes`),
 * `ERR_SLUICE_MAILBOX_FULL` (too many under way); or with a RangeError for more than a mailbox carries
 * (`limits.mailboxBytes`).
 */
export interface SharedMap<Value> {
  /** A copy of the value. */
  get(key: string): Promise<Value | undefined>;
  set(key: string, value: Value, tenure?: Tenure): Promise<void>;
  /** Sets it where there is none. Resolves with the value that was there, and stays; undefined: it is set. */
  add(key: string, value: Value, tenure?: Tenure): Promise<Value | undefined>;
  /** Whether there was one. */
  delete(key: string): Promise<boolean>;
  /**
   * Replaces the value by what `change` makes of it; undefined deletes it. When another thread changes it meanwhile, `change`
   * is called again with what is there then, so it must do nothing but compute. Resolves with the new value.
   */
  update(
    key: string,
    change: (value: Value | undefined) => Value | undefined,
    tenure?: Tenure,
  ): Promise<Value | undefined>;
}

/** How long a value stays in a shared map, from this `set`, `add` or `update` on; without it for ever. */
export interface Tenure {
  /**
   * For so many ms, 1 to 2^32 - 1, and no longer than there is room: values with a time together may have a quarter of
   * `limits.mapBytes`, and nothing that another value needs; the oldest go first. 0, the default, is for ever.
   */
  readonly keepMs?: number;
  /** No longer than the thread that has put it there lives, whatever ends it: a replacement does not count. Default false. */
  readonly withThread?: boolean;
}

/** What `message` and `opened` may return: a promise delays the connection's next message until it is settled. */
type Returned = void | Promise<void>;
/** What `draining` may return. */
// biome-ignore lint/suspicious/noConfusingVoidType: who has only a last word returns nothing at all.
type LastWord = void | "stays";

const HEAVY = Symbol.for("sluice.heavy");

/** Work for `compute`, as `heavy` makes it. */
export interface Heavy<Task> {
  readonly [HEAVY]: true;
  readonly task: Task;
  readonly transfer: readonly Transferable[];
}

/**
 * Marks a message as heavy: what a `message` handler returns this for is computed by the table's `compute` handler, in a thread
 * of its own under the model `hybrid`, in place under every other one. Its result goes to `computed`; until then the
 * connection's next message waits.
 * @param task what `compute` is given. It is cloned (structuredClone), so it can be no function
 * @param transfer ArrayBuffers of the task that are moved and not cloned; not a message's own
 */
export function heavy<Task>(task: Task, transfer: readonly Transferable[] = []): Heavy<Task> {
  return { [HEAVY]: true, task, transfer };
}

export function isHeavy(value: unknown): value is Heavy<unknown> {
  return typeof value === "object" && value !== null && HEAVY in value;
}

/**
 * One table of handlers per server. They run in the thread that owns the connection, one message of a connection at a
 * time and in order. A handler that throws or rejects costs its connection (reason `handler`), nothing else.
 */
export interface Handlers<
  Message = Buffer,
  Sent = Uint8Array | string,
  State = unknown,
  Task = unknown,
  Result = unknown,
> {
  /** How bytes become messages; `raw()` when it is left out. */
  readonly codec?: Codec<Message, Sent>;
  /**
   * Messages that lie whole in the receive buffer are given in place: valid during the call only, and one copy
   * cheaper. Otherwise a message is the handler's to keep; its memory may hold others too, so it can be posted to another
   * thread but not transferred. With SLUICE_DEBUG_BORROW=1 in the environment they are overwritten after the call.
   */
  readonly borrow?: boolean;
  /**
   * Once in each thread, before it accepts connections; a promise is waited for. To throw or reject is to fail to start.
   */
  started?(context: Context<Sent>): Returned;
  /** What `context.broadcast` of another thread, or `server.broadcast`, has handed over. */
  broadcast?(context: Context<Sent>, data: unknown): Returned;
  /** The first value of `connection.state`. */
  state?(): State;
  /** A connection was accepted; nothing has been read yet. */
  opened?(connection: Connection<Sent, State>): Returned;
  /** Returns `heavy(task)` for what takes long to compute. */
  message(connection: Connection<Sent, State>, message: Message): Returned | Heavy<Task>;
  /**
   * Does what was marked heavy, and returns the result (what can be cloned) or a promise of it. Under `hybrid` it runs in
   * another thread, which has loaded the handler module for itself: it shares no variable with the other handlers.
   *
   * `signal.aborted` becomes true when the connection has ended, also in the middle of a loop that looks at it; what has not
   * begun by then never does. To throw or reject costs the connection (reason `handler`).
   */
  compute?(task: Task, signal: AbortSignal): Result | Promise<Result>;
  /** The result of `compute`; not called when the connection has ended meanwhile. */
  computed?(connection: Connection<Sent, State>, result: Result): Returned;
  /**
   * More waits to be computed than `limits.computeQueue`: this task will not be. Without this handler its connection ends
   * (reason `handler`, error code `ERR_SLUICE_COMPUTE_FULL`).
   */
  refused?(connection: Connection<Sent, State>, task: Task): Returned;
  /**
   * The peer has ended its side; all its messages have been handled. Without this handler the connection is closed;
   * with it, it stays half open until `end` or `close`.
   */
  ended?(connection: Connection<Sent, State>): Returned;
  /**
   * It leaves this thread for another one (`server.rebalance`), between two messages: what this thread keeps about it is to
   * be forgotten. `state` is cloned after this call; what is written still arrives. This object is ended then. Not called
   * where a connection only ends: that is `closed`.
   */
  departed?(connection: Connection<Sent, State>): void;
  /**
   * It has come from another thread, with its state, or it stays after `departed` (its state cannot be cloned, or it has
   * begun to close). `opened` is not called again.
   */
  arrived?(connection: Connection<Sent, State>): Returned;
  /**
   * Its thread has died while it was at rest, and this one goes on with it (`adoptOrphans`): with its `id`, and nothing else.
   * `state` is made anew, its topics are forgotten, neither `opened` nor `departed` is called; `closed` is, at its end. With
   * `opened`, `state`, `departed` or `arrived` it is needed.
   */
  adopted?(connection: Connection<Sent, State>): Returned;
  /**
   * The server is about to close: a last word can be said. The connection closes when it has nothing left to do, or, when
   * this answers `"stays"`, when its handlers close it; after the server's `drainMs` in any case.
   */
  draining?(connection: Connection<Sent, State>): LastWord;
  /**
   * The end, exactly once for each `opened`, in the thread that has it then; not where its thread dies with it. `error` tells
   * more for `error`, `protocol` and `handler`.
   */
  closed?(connection: Connection<Sent, State>, reason: CloseReason, error: Error | undefined): void;
}

/** Gives a table of handlers its types where it is written. */
export function handlers<
  Message = Buffer,
  Sent = Uint8Array | string,
  State = unknown,
  Task = unknown,
  Result = unknown,
>(
  table: Handlers<Message, Sent, State, Task, Result>,
): Handlers<Message, Sent, State, Task, Result> {
  return table;
}
