// One server in memory: a service with a route of each kind, whose handlers settle when they are told to; and what all its
// sessions must keep: no handler before WELCOME, no more handlers than streams, nothing thrown but what handlers throw.

import assert from "node:assert/strict";
import type { Context } from "../../../src/handlers.ts";
import { CallError } from "../../../src/protocol/call-error.ts";
import { anything } from "../../../src/protocol/schema.ts";
import { completeWireLimits, type WireLimits } from "../../../src/protocol/wire-limits.ts";
import { type AuthMethod, token } from "../../../src/service/auth.ts";
import type { CallContext } from "../../../src/service/context.ts";
import { call, clientStream, duplex, notify, serverStream } from "../../../src/service/routes.ts";
import { type Service, service } from "../../../src/service/service.ts";
import type { Draw } from "../../protocol/fuzz.ts";
import { KEYED_ROUTE, KeyedCalls } from "./keyed-calls.ts";
import { MemoryConnection } from "./memory-connection.ts";
import { MemoryMap } from "./memory-map.ts";

const USERS = ["ann", "bob"] as const;
/** What handlers throw on purpose. */
const PLANNED = "planned";
export const GOOD = "good";

export class World {
  readonly limits: WireLimits;
  /** Clients must say who they are. */
  readonly guarded: boolean;
  readonly service: Service;
  /** Handlers of the session of the moment that have begun: all of them, and those that have not settled. */
  handled = 0;
  running = 0;
  notified = 0;
  /** Operations of the map that are under way. */
  asking = 0;
  readonly keyed = new KeyedCalls();
  #user: string = USERS[0];
  /** To settle them, and verdicts about tokens. */
  #pending: (() => void)[] = [];
  readonly #draw: Draw;
  readonly #context: Context;
  readonly #map = new MemoryMap<unknown>(() => this.#turn());
  #connections = 0;

  constructor(draw: Draw) {
    this.#draw = draw;
    // In some worlds a few frames are a flood, in the others none are.
    const rate = draw(4) === 0 ? 2 : 100_000;
    const limits = {
      frameBytes: 4096,
      messageBytes: 8192,
      streams: 4,
      subscriptions: 3,
      windowBytes: 65_536,
      streamCredit: 3,
      queueBytes: 65_536,
      subscriptionQueue: 3,
      replayMessages: 20,
      controlsPerSecond: rate,
      cancelsPerSecond: rate,
      emptiesPerSecond: rate,
    };
    this.limits = completeWireLimits(limits);
    this.guarded = draw(2) === 0;
    this.#context = {
      thread: 0,
      threads: 1,
      publish: () => true,
      broadcast: () => assert.fail("there is one thread"),
      counter: () => assert.fail("nobody counts"),
      map: <Value>() => this.#map as MemoryMap<unknown> as MemoryMap<Value>,
    };
    this.service = service(this.#routes(), {
      limits,
      authorize: (_, action, name) => action === "call" || !name.startsWith("secret"),
      onError: (error) =>
        assert.ok(error instanceof Error && error.message === PLANNED, `${error}`),
      ...(this.guarded && { auth: [this.#token(), this.#challenge()] }),
    });
  }

  connect(): MemoryConnection {
    this.handled = 0;
    this.keyed.connected();
    this.#user = USERS[this.#draw(USERS.length)] ?? USERS[0];
    return new MemoryConnection(++this.#connections, this.#context, this.service);
  }

  /** Who the client of the moment is, once it is let in. */
  get identity(): string | undefined {
    return this.guarded ? this.#user : undefined;
  }

  /** Handlers and verdicts that wait. */
  get pending(): number {
    return this.#pending.length;
  }

  settle(which: number): void {
    const [one] = this.#pending.splice(which % Math.max(this.#pending.length, 1), 1);
    one?.();
  }

  /** Time has passed. */
  ring({ state }: MemoryConnection, nowMs: number): void {
    const wire = state?.hub.wire;
    wire?.agenda.run(nowMs);
    wire?.flush();
  }

  publish({ state }: MemoryConnection, topic: string, value: unknown): void {
    state?.hub.topics.publish(topic, value);
    state?.hub.wire.flush();
  }

  // What must always be so.

  /** Whatever a client does, it costs no more than this. */
  assertBounded({ state }: MemoryConnection): void {
    assert.ok(state !== undefined);
    this.keyed.assertOnce();
    const { incoming, streams, outgoing, reader, handlers } = state.session;
    const zombies = handlers.outliving;
    const { limits } = this;
    const { table } = incoming;
    assert.ok(table.count <= limits.streams + limits.subscriptions, `${table.count} streams`);
    assert.ok(streams.table.count <= 256, `${streams.table.count} streams of ours`);
    assert.ok(zombies >= 0 && zombies <= limits.streams, `${zombies} zombies`);
    assert.ok(this.running <= limits.streams, `${this.running} handlers`);
    assert.ok(this.notified <= limits.streams, `${this.notified} notifications under way`);
    const most = limits.queueBytes + limits.messageBytes;
    assert.ok(outgoing.queuedBytes >= 0 && outgoing.queuedBytes <= most, "what waits");
    assert.ok(reader.pending <= limits.frameBytes + 8, `${reader.pending} bytes of a frame`);
  }

  assertNoStreams({ state }: MemoryConnection): void {
    assert.ok(state !== undefined);
    const { incoming, outgoing, handlers } = state.session;
    assert.deepEqual(
      [incoming.table.count, handlers.outliving, outgoing.queuedBytes],
      [0, 0, 0],
      "all is over",
    );
  }

  /** The connection is gone and every handler has settled. */
  assertOver({ state }: MemoryConnection): void {
    assert.ok(state !== undefined);
    assert.ok(state.session.closed);
    const { hub } = state;
    assert.equal(hub.sessions.size, 0, "no session");
    assert.equal(this.running, 0, "no handler");
    assert.equal(this.notified, 0, "no notification");
    assert.equal(state.session.handlers.any, false, "no zombie");
  }

  #token(): AuthMethod {
    return token((word) => {
      if (word === "throws") throw new Error(PLANNED);
      const good = word.endsWith(GOOD);
      const identity = good ? this.#user : undefined;
      return word.startsWith("later") ? this.#later(identity, false) : identity;
    });
  }

  /** Two steps, as those methods have that ask for a signature. */
  #challenge(): AuthMethod {
    return {
      method: 2,
      name: "challenge",
      start: () => {
        let asked = false;
        return {
          step: (data) => {
            if (asked) return data.toString() === GOOD ? { identity: this.#user } : undefined;
            asked = true;
            return { challenge: Buffer.from("?") };
          },
        };
      },
    };
  }

  #routes() {
    return {
      echo: call(anything, anything, (value, context) => this.#run(context, () => value)),
      later: call(anything, anything, (value, context) =>
        this.#run(context, () => this.#later(value)),
      ),
      throws: call(anything, anything, (_, context) =>
        this.#run(context, () => {
          throw new Error(PLANNED);
        }),
      ),
      ask: call(anything, anything, (value, context) =>
        this.#run(context, () =>
          // What the client makes of it is its business.
          context.peer.call("client", value, { deadlineMs: 1000 }).catch(() => "no answer"),
        ),
      ),
      [KEYED_ROUTE]: call(anything, anything, (_, context) =>
        this.#run(context, () => this.#once(context)),
      ),
      note: notify(anything, async (_, context) => {
        this.#begins(context);
        this.notified++;
        try {
          if (this.#draw(2) === 0) await this.#later(undefined);
        } finally {
          this.notified--;
        }
      }),
      many: serverStream(anything, anything, (_, context) => this.#flow(context, undefined)),
      sum: clientStream(anything, anything, (values, context) =>
        this.#run(context, async () => {
          let sum = 0;
          try {
            for await (const _ of values) sum++;
          } catch {
            // The stream was cut or cancelled: whoever is left gets what there is.
          }
          return sum;
        }),
      ),
      chat: duplex(anything, anything, (values, context) => this.#flow(context, values)),
    };
  }

  /** Says which execution it is, in one of several ways. */
  #once({ identity, idempotencyKey: key }: CallContext): string | Promise<string> {
    const one = key ? this.keyed.begins(identity, key) : undefined;
    const settles = (kept: boolean) => one && this.keyed.settles(one, kept);
    const text = `#${one?.number ?? 0}`;
    const way = this.#draw(8);
    if (way === 0) {
      settles(false);
      throw this.#draw(2) === 0
        ? new Error(PLANNED)
        : new CallError("UNAVAILABLE", "not now", { retryable: true });
    }
    if (way === 1) {
      settles(true);
      throw new CallError("FAILED_PRECONDITION", text);
    }
    if (way < 5) {
      return this.#later(text).then(
        (value) => {
          settles(true);
          return value;
        },
        (error) => {
          settles(false);
          throw error;
        },
      );
    }
    settles(true);
    return text;
  }

  /** The map takes its time, sometimes. */
  async #turn(): Promise<void> {
    this.asking++;
    if (this.#draw(4) === 0) await this.#later(undefined, false);
    this.asking--;
  }

  #begins(context: CallContext): void {
    this.handled++;
    assert.equal(context.identity, this.identity, "who it is");
  }

  async *#flow(context: CallContext, values: AsyncIterable<unknown> | undefined) {
    this.#begins(context);
    this.#started();
    try {
      for (let n = 0; n < 6; n++) {
        if (n === 3) await this.#later(undefined);
        yield n % 2 === 0 ? n : "x".repeat(3000);
      }
      if (values !== undefined) for await (const value of values) yield value;
    } catch (error) {
      if (error instanceof Error && error.message === PLANNED) throw error;
      // The client has ended it.
    } finally {
      this.running--;
    }
  }

  #run<Result>(
    context: CallContext,
    run: () => Result | Promise<Result>,
  ): Result | Promise<Result> {
    this.#begins(context);
    this.#started();
    let result: Result | Promise<Result>;
    try {
      result = run();
    } catch (error) {
      this.running--;
      throw error;
    }
    if (result instanceof Promise) return result.finally(() => this.running--);
    this.running--;
    return result;
  }

  #started(): void {
    this.running++;
  }

  #later<Value>(value: Value, mayFail = true): Promise<Value> {
    return new Promise((resolve, reject) => {
      const fails = mayFail && this.#draw(6) === 0;
      this.#pending.push(() => (fails ? reject(new Error(PLANNED)) : resolve(value)));
    });
  }
}
