// What a route is, as a type and as a value: its kind, what goes in and comes out, and its handler. A client is typed from
// the routes of a service alone.

import type { InputOf, OutputOf, Schema } from "./schema.ts";

export type RouteKind = "call" | "serverStream" | "clientStream" | "duplex" | "notify";

export interface Route<
  Kind extends RouteKind = RouteKind,
  Input extends Schema = Schema,
  Output extends Schema = Schema,
> {
  readonly kind: Kind;
  readonly input: Input;
  readonly output: Output;
}

/** The routes of a service, by name. */
export type Routes = Readonly<Record<string, Route>>;

/** What a handler is given of an input, and what a client sends for it. */
export type Received<S extends Schema> = OutputOf<S>;
export type Given<S extends Schema> = InputOf<S>;

/** Where the routes' types are kept on a service; there is nothing at run time. */
export declare const ROUTES: unique symbol;

/** The routes of a service, from its type. */
export type RoutesOf<Service> = Service extends { readonly [ROUTES]?: infer Found extends Routes }
  ? Found
  : never;
