// The routes of a service as a session looks them up: by name or by the number that WELCOME announced.

import { createHash } from "node:crypto";
import { OptionError } from "../limits.ts";
import { HELLO_KEY } from "../protocol/codes.ts";
import { Names } from "../protocol/names.ts";
import { routesTlv } from "../protocol/peer.ts";
import { KIND_OF_ROUTE, SHAPE_BYTES, shapesTlv } from "../protocol/route-shapes.ts";
import type { Schema } from "../protocol/schema.ts";
import type { OpenFrame } from "../protocol/stream-frames.ts";
import type { Tlv } from "../protocol/tlv.ts";
import { FIXED } from "../protocol/wire-limits.ts";
import type { CallContext } from "./context.ts";
import type { ServiceRoute } from "./routes.ts";

export interface RouteEntry {
  readonly id: number;
  readonly name: string;
  /** One of KIND. */
  readonly kind: number;
  readonly input: Schema;
  readonly output: Schema;
  readonly handler: (input: unknown, context: CallContext) => unknown;
}

/** Listed in WELCOME as long as the list is no longer, shapes included; others are called by name. */
const MOST_LISTED_BYTES = 2048;
const HASH_BYTES = 8;

export class RouteTable {
  readonly #names = new Names<RouteEntry>();
  readonly #byId: RouteEntry[] = [];
  /** What WELCOME says of them. */
  readonly tlvs: readonly Tlv[];

  /** @throws OptionError for a name that cannot be, or what is no route */
  constructor(routes: Readonly<Record<string, ServiceRoute>>) {
    const listed = new Map<string, number>();
    let listedBytes = 0;
    for (const [name, route] of Object.entries(routes)) {
      const entry = checkedEntry(this.#byId.length + 1, name, route);
      this.#names.add(name, entry);
      this.#byId.push(entry);
      listedBytes += 3 + Buffer.byteLength(name) + SHAPE_BYTES;
      if (listedBytes <= MOST_LISTED_BYTES) listed.set(name, entry.id);
    }
    const shapes = shapesTlv(this.#byId.filter(({ name }) => listed.has(name)));
    const described = this.#byId.map(({ name, kind }) => `${name} ${kind}`).join("\n");
    const hash = createHash("sha256").update(described).digest().subarray(0, HASH_BYTES);
    this.tlvs = [routesTlv(listed), { key: HELLO_KEY.SCHEMA_HASH, value: hash }, shapes];
  }

  /** @throws WireError PROTOCOL for a name that is no route's, and not even UTF-8 */
  asked(open: OpenFrame): RouteEntry | undefined {
    if (open.routeId !== 0) return this.#byId[open.routeId - 1];
    const entry = open.find(this.#names);
    if (entry === undefined) open.name();
    return entry;
  }
}

function checkedEntry(id: number, name: string, route: ServiceRoute): RouteEntry {
  if (name === "" || Buffer.byteLength(name) > FIXED.nameBytes) {
    throw new OptionError(`a route's name has 1 to ${FIXED.nameBytes} bytes, not "${name}"`);
  }
  const known = Object.hasOwn(KIND_OF_ROUTE, route?.kind ?? "");
  const kind = known ? KIND_OF_ROUTE[route.kind] : undefined;
  if (kind === undefined) {
    throw new OptionError(
      `${name} is no route: make it with call, serverStream, clientStream, duplex or notify`,
    );
  }
  for (const part of ["input", "output"] as const) {
    if (typeof route[part]?.["~standard"]?.validate === "function") continue;
    throw new OptionError(
      `${name}: its ${part} is no Standard Schema (zod, valibot, arktype; bytes, text, anything, nothing)`,
    );
  }
  if (typeof route.handler !== "function")
    throw new OptionError(`${name}: its handler is no function`);
  const handler = route.handler as RouteEntry["handler"];
  return { id, name, kind, input: route.input, output: route.output, handler };
}
