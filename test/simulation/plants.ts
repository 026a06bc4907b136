// Planted bugs: each breaks the reactor in one way that somebody could really write. The simulation must find them, or it
// proves nothing.
// How it is planted: planting.ts, or a change of what the reactor is given.

import type { Limits } from "../../src/limits.ts";
import { Acceptor } from "../../src/reactor/acceptor.ts";
import { Closing } from "../../src/reactor/closing.ts";
import {
  BUSY,
  CLOSING,
  DRAINING,
  HELD,
  PEER_ENDED,
  ReactorConnection,
  SENDING,
  STOPPED,
} from "../../src/reactor/connection.ts";
import { Deadlines } from "../../src/reactor/deadlines.ts";
import { Incoming } from "../../src/reactor/incoming.ts";
import { NO_BLOCK, OutputArena } from "../../src/reactor/output-arena.ts";
import { Reactor } from "../../src/reactor/reactor.ts";
import { SendQueue } from "../../src/reactor/send-queue.ts";
import { UnreadInput } from "../../src/reactor/unread-input.ts";
import { everyNth, replaced } from "./planting.ts";
import type { Planted } from "./simulate.ts";

export interface Plant {
  readonly name: string;
  /** Plants it; what is returned takes it out. */
  plant(): () => void;
  readonly planted?: Planted;
}

function changedLimits(name: string, limits: (limits: Limits) => Limits): Plant {
  return { name, plant: () => () => {}, planted: { limits } };
}

export const PLANTS: readonly Plant[] = [
  {
    name: "a `sent` is dropped now and then",
    plant: replaced(Reactor.prototype, "sent", (sent) => {
      const drops = everyNth(40);
      return function (handle, result) {
        if (!drops()) sent.call(this, handle, result);
      };
    }),
  },
  {
    name: "`closed` is told twice",
    plant: () => () => {},
    planted: {
      handlers(handlers) {
        const again = everyNth(5);
        return {
          ...handlers,
          closed(connection, reason, error) {
            handlers.closed?.(connection, reason, error);
            if (again()) handlers.closed?.(connection, reason, error);
          },
        };
      },
    },
  },
  {
    name: "two blocks of output change places",
    plant: replaced(SendQueue.prototype, "append", (append) => {
      return function (connection, data) {
        const before = connection.tail;
        const appended = append.call(this, connection, data);
        const { arena } = this;
        const first = before === NO_BLOCK ? NO_BLOCK : arena.next(before);
        const second = first === NO_BLOCK ? NO_BLOCK : arena.next(first);
        if (second === NO_BLOCK) return appended;
        arena.link(before, second);
        arena.link(first, arena.next(second));
        arena.link(second, first);
        if (connection.tail === second) connection.tail = first;
        return appended;
      };
    }),
  },
  {
    name: "what is written goes into the block that the kernel has",
    plant: replaced(SendQueue.prototype, "append", (append) => {
      return function (connection, data) {
        const sending = connection.flags & SENDING;
        connection.flags &= ~SENDING;
        const appended = append.call(this, connection, data);
        connection.flags |= sending;
        return appended;
      };
    }),
  },
  {
    name: "a block of output is not given back now and then",
    plant: replaced(OutputArena.prototype, "release", (release) => {
      const leaks = everyNth(50);
      return function (block) {
        if (!leaks()) release.call(this, block);
      };
    }),
  },
  {
    name: "reading does not go on after a promise, now and then",
    plant: replaced(Incoming.prototype, "goOn", (goOn) => {
      const forgets = everyNth(10);
      return function (connection) {
        if (!forgets()) goOn.call(this, connection);
      };
    }),
  },
  {
    name: "the last byte of what has to wait is lost",
    plant: replaced(UnreadInput.prototype, "append", (append) => {
      const loses = everyNth(20);
      return function (source, start, end) {
        append.call(this, source, start, loses() ? end - 1 : end);
      };
    }),
  },
  {
    name: "what has to wait is put in front of what waits",
    plant: replaced(UnreadInput.prototype, "append", (append) => {
      return function (source, start, end) {
        const waiting = Buffer.from(this.bytes.subarray(this.offset, this.end));
        this.offset = 0;
        this.end = 0;
        append.call(this, source, start, end);
        append.call(this, waiting, 0, waiting.length);
      };
    }),
  },
  {
    name: "the high-water mark does not hold the handler",
    plant: () => () => {},
    planted: {
      handlers(handlers) {
        return {
          ...handlers,
          message(connection, message) {
            const returned = handlers.message(connection, message);
            if (connection instanceof ReactorConnection) connection.flags &= ~HELD;
            return returned;
          },
        };
      },
    },
  },
  {
    name: "a promise does not make the connection busy",
    plant: replaced(Incoming.prototype, "run", (run) => {
      return function (connection, returned) {
        run.call(this, connection, returned);
        connection.flags &= ~BUSY;
      };
    }),
  },
  {
    name: "a rejection is taken for an end",
    plant: replaced(Incoming.prototype, "run", (run) => {
      return function (connection, returned) {
        const kept =
          returned instanceof Promise ? Promise.allSettled([returned]).then(() => {}) : returned;
        run.call(this, connection, kept);
      };
    }),
  },
  {
    name: "the peer's end is lost while the handler is busy",
    plant: replaced(Incoming.prototype, "peerEnded", (peerEnded) => {
      return function (connection) {
        if ((connection.flags & STOPPED) === 0) peerEnded.call(this, connection);
      };
    }),
  },
  {
    name: "the peer's end overtakes what is still unread",
    plant: replaced(Incoming.prototype, "peerEnded", (peerEnded) => {
      return function (connection) {
        const { unread } = connection;
        const stopped = connection.flags & STOPPED;
        connection.unread = undefined;
        connection.flags &= ~STOPPED;
        peerEnded.call(this, connection);
        connection.flags |= stopped;
        connection.unread = unread;
      };
    }),
  },
  {
    name: "input that a connection held is never given back",
    plant: replaced(Incoming.prototype, "release", () => {
      return () => {};
    }),
  },
  {
    name: "accepting does not go on when a connection leaves",
    plant: replaced(Acceptor.prototype, "dismissed", (dismissed) => {
      return function (address, _connections) {
        dismissed.call(this, address, Number.POSITIVE_INFINITY);
      };
    }),
  },
  {
    name: "accepting is not tried again after EMFILE",
    plant: replaced(Acceptor.prototype, "retry", () => {
      return function () {
        this.retryMs = Number.POSITIVE_INFINITY;
      };
    }),
  },
  {
    name: "addresses that have left still count",
    plant: replaced(Acceptor.prototype, "dismissed", (dismissed) => {
      return function (_address, connections) {
        dismissed.call(this, undefined, connections);
      };
    }),
  },
  {
    name: "deadlines never fire",
    plant: replaced(Deadlines.prototype, "expire", (expire) => {
      return function (nowMs, _fire) {
        expire.call(this, nowMs, () => {});
      };
    }),
  },
  {
    name: "closing does not wait for the peer's end",
    plant: replaced(Closing.prototype, "flushed", (flushed) => {
      return function (connection) {
        if ((connection.flags & CLOSING) !== 0) connection.flags |= PEER_ENDED;
        flushed.call(this, connection);
      };
    }),
  },
  {
    name: "closing does not wait for what is queued",
    plant: replaced(Closing.prototype, "close", (close) => {
      return function (connection, reason, error) {
        close.call(this, connection, reason, error);
        this.terminate(connection, reason, error, false);
      };
    }),
  },
  {
    name: "the last reason wins",
    plant: replaced(Closing.prototype, "close", (close) => {
      return function (connection, reason, error) {
        connection.flags &= ~CLOSING;
        close.call(this, connection, reason, error);
      };
    }),
  },
  {
    name: "a draining connection that was busy is forgotten",
    plant: replaced(Incoming.prototype, "goOn", (goOn) => {
      return function (connection) {
        const forgets = (connection.flags & DRAINING) !== 0 && connection.unread === undefined;
        if (!forgets) goOn.call(this, connection);
      };
    }),
  },
  {
    name: "drained() resolves at once",
    plant: replaced(ReactorConnection.prototype, "drained", () => {
      return () => Promise.resolve();
    }),
  },
  {
    name: "drained() never resolves, now and then",
    plant: replaced(ReactorConnection.prototype, "drained", (drained) => {
      const forgets = everyNth(5);
      return function () {
        return forgets() ? new Promise(() => {}) : drained.call(this);
      };
    }),
  },
  {
    name: "end() is forgotten when something is still queued",
    plant: replaced(Closing.prototype, "endOutput", (endOutput) => {
      return function (connection) {
        if (connection.pendingBytes === 0) endOutput.call(this, connection);
      };
    }),
  },
  {
    name: "resume() does not read on",
    plant: replaced(ReactorConnection.prototype, "resume", (resume) => {
      return function () {
        resume.call(this);
        if (this.unread === undefined) return;
        this.unread.offset = this.unread.end;
      };
    }),
  },
  changedLimits("one connection too many", (limits) => ({
    ...limits,
    connections: limits.connections + 1,
  })),
  changedLimits("the hard bound is twice as high", (limits) => ({
    ...limits,
    connectionOutputBytes: limits.connectionOutputBytes * 2,
  })),
  changedLimits("the high-water mark is one byte higher", (limits) => ({
    ...limits,
    highWaterBytes: limits.highWaterBytes + 1,
  })),
  changedLimits("the idle deadline fires early", (limits) => ({
    ...limits,
    idleMs: Math.floor(limits.idleMs / 2),
  })),
  changedLimits("the write deadline fires late", (limits) => ({
    ...limits,
    writeMs: limits.writeMs * 3,
  })),
  changedLimits("lingering takes too long", (limits) => ({
    ...limits,
    lingerMs: limits.lingerMs * 5,
  })),
];
