// service(): routes and what they need, as a table of handlers that `serve` takes: the default export of a module, or in
// the calling thread.
//
// The codec gives each piece of input as it came, in place; the session takes frames out of it. So bytes reach a route's
// handler through the same reactor, under every model, as those of any other handler.

import type { Codec, Decoder, Input } from "../codec/codec.ts";
import type { Context, Handlers } from "../handlers.ts";
import type { ROUTES, Route, Routes } from "../protocol/route.ts";
import { Hub } from "./hub.ts";
import { checkServiceOptions, type ServiceOptions } from "./options.ts";
import { RouteTable } from "./route-table.ts";
import type { ServiceRoute } from "./routes.ts";
import { ServerSession } from "./server-session.ts";

export {
  type BodyCodec,
  cbor,
  jsonCodec,
  messagePack,
  rawCodec,
  utf8Codec,
} from "../protocol/body-codec.ts";
export { CallError } from "../protocol/call-error.ts";
export { anything, bytes, nothing, type Schema, text } from "../protocol/schema.ts";
export {
  type AuthExchange,
  type AuthMethod,
  type AuthStep,
  none,
  peerCredentials,
  publicKey,
  type ScramOptions,
  type ScramUser,
  type Stranger,
  scram,
  token,
} from "./auth.ts";
export type { CallContext, CallingPeer, Publisher } from "./context.ts";
export type { Action, ServiceOptions } from "./options.ts";
export { moved } from "./relocation.ts";
export {
  call,
  clientStream,
  duplex,
  notify,
  type ServiceRoute,
  serverStream,
} from "./routes.ts";
export { type ScramSecret, scramSecret } from "./scram.ts";

/** Given to `serve`, or exported as a module's default; a client is typed from it. */
export interface Service<Table extends Routes = Routes>
  extends Handlers<Arrived, never, ServerSession | undefined> {
  /** Only a type: see RoutesOf. */
  readonly [ROUTES]?: Table;
}

type RoutesIn<Table> = {
  readonly [Name in keyof Table]: Table[Name] extends ServiceRoute<infer Kind, infer In, infer Out>
    ? Route<Kind, In, Out>
    : never;
};

/** A decoder that takes nothing apart: what has come, and how much of it the session keeps of an unfinished frame. */
class Arrived implements Decoder<Arrived> {
  pending = 0;
  input: Input | undefined;

  next(input: Input): Arrived | undefined {
    if (input.offset === input.end) return undefined;
    this.input = input;
    return this;
  }
}

const arrivals: Codec<Arrived, never> = {
  name: "SWP/1",
  decoder: () => new Arrived(),
  encode() {
    throw new TypeError("a service answers through its routes, and writes nothing by itself");
  },
};

/**
 * A service over SWP/1 (docs/protocol.md): `export default service({ "player.move": call(input, output, handler) })`.
 * @throws OptionError for routes or options that cannot be
 */
export function service<Table extends Readonly<Record<string, ServiceRoute>>>(
  routes: Table,
  options: ServiceOptions = {},
): Service<RoutesIn<Table>> {
  const table = new RouteTable(routes);
  checkServiceOptions(options);
  // One for each thread of each server: the context is which.
  const hubs = new WeakMap<Context<never>, Hub>();
  const hubOf = (context: Context<never>): Hub => {
    let hub = hubs.get(context);
    if (hub === undefined) {
      hub = new Hub(context as Context, table, options);
      hubs.set(context, hub);
    }
    return hub;
  };
  return {
    codec: arrivals,
    // What is kept of a message is copied by its codec.
    borrow: true,
    started(context) {
      options.started?.(hubOf(context));
    },
    broadcast(context, data) {
      hubOf(context).topics.heard(data);
    },
    opened(connection) {
      connection.state = new ServerSession(hubOf(connection.context), connection);
    },
    message({ state }, arrived) {
      if (state === undefined || arrived.input === undefined) return;
      state.receive(arrived.input);
      arrived.pending = state.session.reader.pending;
    },
    ended(connection) {
      connection.state?.inputEnded();
    },
    draining({ state }) {
      state?.drain();
      return "stays";
    },
    closed({ state }, reason) {
      state?.session.disconnected(reason);
    },
  };
}
