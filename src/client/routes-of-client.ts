// The types of a client, from the type of its service: which names there are for each kind of call, what goes in and comes
// out. Types only.

import type { Given, Received, Route, RouteKind, Routes, RoutesOf } from "../protocol/route.ts";
import type { Schema } from "../protocol/schema.ts";

/** Of a client that was told nothing of its service: every name will do, and what comes is unknown. */
export type AnyRoutes = Readonly<Record<string, Route<never, Schema<unknown>, Schema<unknown>>>>;

/** The routes of a service's type; any, when it was not given. */
export type ClientRoutes<Service> = [Service] extends [never]
  ? AnyRoutes
  : RoutesOf<Service> extends infer Found extends Routes
    ? Found
    : AnyRoutes;

/** Names of the routes of one kind. */
export type NameOf<Table extends Routes, Kind extends RouteKind> = {
  readonly [Name in keyof Table & string]: Table[Name] extends Route<infer Its>
    ? [Its] extends [Kind]
      ? Name
      : never
    : never;
}[keyof Table & string];

/** What a caller gives. */
export type InputOfRoute<Table extends Routes, Name extends keyof Table> = Given<
  Table[Name]["input"]
>;

/** What a caller gets. */
export type OutputOfRoute<Table extends Routes, Name extends keyof Table> = Received<
  Table[Name]["output"]
>;
