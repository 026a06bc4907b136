// The lines of one client: makes them, introduces each of their links to the server, and ends them all.

import { Buffer } from "node:buffer";
import { reporter } from "../checks.ts";
import { deferred } from "../deferred.ts";
import type { HostAndPort } from "../protocol/address.ts";
import { CallError } from "../protocol/call-error.ts";
import { AUTH_METHOD, GOAWAY, HELLO_KEY } from "../protocol/codes.ts";
import type { Auth } from "../protocol/connection-frames.ts";
import type { Stream } from "../protocol/stream.ts";
import type { OpenFrame } from "../protocol/stream-frames.ts";
import { textTlv } from "../protocol/tlv.ts";
import { BackOff } from "./back-off.ts";
import type { CheckedClientOptions, ClientOptions } from "./client-options.ts";
import { type Introduction, introduce } from "./credentials.ts";
import { Destination, type Visit } from "./destination.ts";
import { Line, type LineHost, type LineState } from "./line.ts";
import { inputCodec, Link } from "./link.ts";
import { Pool } from "./pool.ts";
import { Resumption } from "./resumption.ts";
import { ServerRequests } from "./server-requests.ts";
import type { World } from "./world.ts";

const AGENT = "sluice";
const UNPROVEN = "the server could not show that it knows the password";

export class Lines {
  readonly pool: Pool;
  readonly #options: ClientOptions;
  readonly #checked: CheckedClientOptions;
  readonly #world: World;
  readonly #lines: readonly Line[];
  readonly #requests: ServerRequests;
  readonly #report: (error: unknown) => void;
  #waiters: PromiseWithResolvers<void>[] = [];
  #closed: CallError | undefined;
  #release: (() => void) | undefined;
  /** Told whenever something may have ended, while it is closing. */
  #settled: (() => void) | undefined;

  constructor(options: ClientOptions, checked: CheckedClientOptions, world: World) {
    this.#options = options;
    this.#checked = checked;
    this.#world = world;
    this.#report = reporter(options.onError);
    this.pool = new Pool(world.wire, checked.retries, checked.waiting, () => world.random());
    this.#requests = new ServerRequests(options.handlers ?? {}, checked.codecs, this.#report);
    this.#lines = Array.from({ length: checked.connections }, () => this.#make());
  }

  start(): void {
    this.#release = this.#world.keepAlive();
    for (const line of this.#lines) line.start();
  }

  connected(): Promise<void> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    if (this.#lines.some(({ link }) => link !== undefined)) return Promise.resolve();
    const waiter = deferred<void>();
    this.#waiters.push(waiter);
    return waiter.promise;
  }

  async refreshToken(): Promise<void> {
    const { auth } = this.#options;
    if (auth === undefined || !("token" in auth)) {
      throw new CallError("FAILED_PRECONDITION", "this client has no token to refresh");
    }
    const { token } = auth;
    const data = Buffer.from(typeof token === "function" ? await token() : token);
    for (const { session } of this.pool.links()) {
      session.handshake.answer({ method: AUTH_METHOD.TOKEN, step: 0, data });
      this.#world.wire.flush();
    }
  }

  async close(error: CallError, drainMs: number): Promise<void> {
    if (this.#closed !== undefined) return;
    this.#closed = error;
    this.pool.close(error);
    this.#tell(error);
    if (drainMs > 0) await this.#finished(drainMs);
    for (const line of this.#lines) line.close(error);
    this.#release?.();
  }

  /** Resolves when nothing is in flight any more, or the time is up. */
  #finished(withinMs: number): Promise<void> {
    const { promise, resolve } = deferred<void>();
    const { wire } = this.#world;
    const idle = () => this.pool.links().every(({ count }) => count === 0);
    const deadline = {
      agendaSlot: -1,
      agendaMs: 0,
      due() {
        resolve();
        return Number.POSITIVE_INFINITY;
      },
    };
    wire.agenda.atLatest(deadline, wire.now() + withinMs);
    this.#settled = () => {
      if (!idle()) return;
      wire.agenda.remove(deadline);
      resolve();
    };
    this.#settled();
    return promise;
  }

  #make(): Line {
    const { wire } = this.#world;
    const backOff = new BackOff(this.#checked.backOff, () => this.#world.random());
    const resumption = new Resumption(this.#checked.limits, this.#options.resume !== false);
    const destination = new Destination(this.#checked.follows);
    const line: Line = new Line({
      wire,
      backOff,
      dial: (host) => this.#dial(host, resumption, destination),
      ready: () => {
        this.#tell(undefined);
        this.pool.room();
      },
      changed: (state, error) => this.#changed(state, error),
    });
    this.pool.add(line);
    return line;
  }

  #changed(state: LineState, error: CallError | undefined): void {
    this.#settled?.();
    if (error !== undefined) {
      this.#tell(error);
      // To wait longer would not help whoever waits.
      if (error.code === "UNAUTHENTICATED" || error.code === "UNIMPLEMENTED") {
        this.pool.hopeless(error);
      }
    }
    try {
      this.#options.onState?.(state, error);
    } catch (thrown) {
      this.#report(thrown);
    }
  }

  #tell(error: CallError | undefined): void {
    for (const { resolve, reject } of this.#waiters.splice(0)) {
      if (error === undefined) resolve();
      else reject(error);
    }
  }

  async #dial(host: LineHost, resumption: Resumption, destination: Destination): Promise<Link> {
    const visit = destination.visit();
    const introduction = await introduce(this.#options.auth, () => this.#world.unique());
    const made = deferred<Link>();
    let link: Link | undefined;
    const handlers = {
      codec: inputCodec(() => link?.session.reader.pending ?? 0),
      borrow: true,
      opened: (connection: ConstructorParameters<typeof Link>[1]) => {
        // The secret of a session is for the server that gave it.
        resumption.dials(visit.at);
        link = new Link(this.#hostOf(host, introduction, resumption, visit), connection);
        made.resolve(link);
      },
      message: (_: unknown, input: Parameters<Link["session"]["receive"]>[0]) =>
        link?.session.receive(input),
      closed: (...[, reason, error]: [unknown, Parameters<Link["closed"]>[0], Error | undefined]) =>
        link?.closed(reason, error),
    };
    try {
      await this.#world.connect(optionsAt(this.#options, visit.at), handlers);
    } catch (error) {
      visit.failed();
      throw error;
    }
    return made.promise;
  }

  #hostOf(
    line: LineHost,
    introduction: Introduction,
    resumption: Resumption,
    visit: Visit,
  ): ConstructorParameters<typeof Link>[0] {
    const { agent = AGENT } = this.#options;
    let wasReady = false;
    return {
      wire: this.#world.wire,
      limits: this.#checked.limits,
      codecs: [...this.#checked.codecs.keys()],
      compression: this.#checked.compression,
      pipelines: introduction.pipelines,
      hello: () => [...introduction.tlvs, textTlv(HELLO_KEY.AGENT, agent), ...resumption.tlvs],
      ready(link, tlvs) {
        if (!introduction.accepts(tlvs)) return link.session.end(GOAWAY.AUTH, UNPROVEN);
        resumption.welcomed(link, tlvs);
        wasReady = true;
        visit.reached();
        line.ready(link);
      },
      challenged: (link, auth) => void this.#answer(link, auth, introduction),
      room: () => {
        this.pool.room();
        this.#settled?.();
      },
      draining(link, goaway) {
        visit.told(goaway);
        line.draining(link, goaway);
      },
      called: (link, stream, open, bytes, start, end) =>
        this.#called(link, stream, open, bytes, start, end),
      ended(link, end) {
        resumption.lost(link);
        if (!wasReady) visit.failed();
        line.ended(link, end);
      },
    };
  }

  async #answer(link: Link, challenge: Auth, introduction: Introduction): Promise<void> {
    try {
      const auth = await introduction.answer(challenge);
      link.session.handshake.answer(auth);
      this.#world.wire.flush();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      link.session.end(GOAWAY.AUTH, why);
    }
  }

  #called(
    link: Link,
    stream: Stream | undefined,
    open: OpenFrame,
    bytes: Buffer,
    start: number,
    end: number,
  ): void {
    this.#requests.opened(link.session, stream, open, bytes, start, end);
  }
}

/** To be connected where it was sent to, if it was. */
function optionsAt(options: ClientOptions, followed: HostAndPort | undefined): ClientOptions {
  if (followed === undefined) return options;
  const { path: _, ...others } = options;
  return { ...others, ...followed };
}
