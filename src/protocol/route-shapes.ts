// What a route is, on the wire: its kind, and what its bodies are, for people and tools that ask a service what it offers. Three
// bytes a route in WELCOME, in the order in which it lists their names; nobody needs them to call one.

import { HELLO_KEY, KIND } from "./codes.ts";
import type { RouteKind } from "./route.ts";
import { anything, bytes, nothing, type Schema, text } from "./schema.ts";
import type { Tlv } from "./tlv.ts";

/** "value": whatever its schema takes, which does not travel. */
export type BodyShape = "value" | "nothing" | "bytes" | "text" | "anything";

export interface RouteShape {
  readonly name: string;
  /** Undefined where the server does not tell, and so are the others. */
  readonly kind: RouteKind | undefined;
  readonly input: BodyShape | undefined;
  readonly output: BodyShape | undefined;
}

/** By the number that stands for it. */
const BODIES: readonly BodyShape[] = ["value", "nothing", "bytes", "text", "anything"];
export const KIND_OF_ROUTE: Readonly<Record<RouteKind, number>> = {
  call: KIND.CALL,
  serverStream: KIND.SERVER_STREAM,
  clientStream: KIND.CLIENT_STREAM,
  duplex: KIND.DUPLEX,
  notify: KIND.NOTIFY,
};
const KINDS = Object.keys(KIND_OF_ROUTE) as RouteKind[];
/** Kind, input, output. */
export const SHAPE_BYTES = 3;

/** What WELCOME says of these routes, which its list of names has in the same order. */
export function shapesTlv(
  routes: readonly { readonly kind: number; readonly input: Schema; readonly output: Schema }[],
): Tlv {
  const value = routes.flatMap(({ kind, input, output }) => [kind, bodyOf(input), bodyOf(output)]);
  return { key: HELLO_KEY.ROUTE_SHAPES, value: Uint8Array.from(value) };
}

/** The routes that are listed, with what is known of them: nothing where the server tells nothing, or of other routes. */
export function readShapes(value: Uint8Array, names: readonly string[]): RouteShape[] {
  const known = value.length === names.length * SHAPE_BYTES;
  return names.map((name, n) => {
    const [kind, input, output] = known ? value.slice(n * SHAPE_BYTES) : [];
    return {
      name,
      kind: KINDS.find((one) => KIND_OF_ROUTE[one] === kind),
      input: BODIES[input ?? -1],
      output: BODIES[output ?? -1],
    };
  });
}

function bodyOf(schema: Schema): number {
  const known: ReadonlyMap<unknown, BodyShape> = new Map<unknown, BodyShape>([
    [nothing, "nothing"],
    [bytes, "bytes"],
    [text, "text"],
    [anything, "anything"],
  ]);
  return BODIES.indexOf(known.get(schema) ?? "value");
}
