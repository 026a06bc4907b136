// What a service is made of: routes, each with what goes in, what comes out, and the function that does it.

import type { Route, RouteKind } from "../protocol/route.ts";
import { type InputOf, nothing, type OutputOf, type Schema } from "../protocol/schema.ts";
import type { CallContext } from "./context.ts";

/** What a handler gives, now or later. */
type Later<Value> = Value | Promise<Value>;
/** Messages that a handler gives one by one, as fast as the other side takes them. */
type Flow<Value> = AsyncIterable<Value> | Iterable<Value>;

/** A route with its handler, as a service holds it. */
export interface ServiceRoute<
  Kind extends RouteKind = RouteKind,
  Input extends Schema = Schema,
  Output extends Schema = Schema,
> extends Route<Kind, Input, Output> {
  /** Its types are those that the builder below checked. */
  readonly handler: (input: never, context: CallContext) => unknown;
}

/** One request, one answer. */
export function call<Input extends Schema, Output extends Schema>(
  input: Input,
  output: Output,
  handler: (input: OutputOf<Input>, context: CallContext) => Later<InputOf<Output>>,
): ServiceRoute<"call", Input, Output> {
  return { kind: "call", input, output, handler };
}

/** One request, and messages for as long as the handler gives some (an async generator, mostly). */
export function serverStream<Input extends Schema, Output extends Schema>(
  input: Input,
  output: Output,
  handler: (input: OutputOf<Input>, context: CallContext) => Flow<InputOf<Output>>,
): ServiceRoute<"serverStream", Input, Output> {
  return { kind: "serverStream", input, output, handler };
}

/** Messages for as long as the client sends some, and one answer. */
export function clientStream<Input extends Schema, Output extends Schema>(
  input: Input,
  output: Output,
  handler: (
    messages: AsyncIterable<OutputOf<Input>>,
    context: CallContext,
  ) => Later<InputOf<Output>>,
): ServiceRoute<"clientStream", Input, Output> {
  return { kind: "clientStream", input, output, handler };
}

/** Messages both ways, each side as long as it wants. */
export function duplex<Input extends Schema, Output extends Schema>(
  input: Input,
  output: Output,
  handler: (
    messages: AsyncIterable<OutputOf<Input>>,
    context: CallContext,
  ) => Flow<InputOf<Output>>,
): ServiceRoute<"duplex", Input, Output> {
  return { kind: "duplex", input, output, handler };
}

/** One message that is not answered, whatever becomes of it. */
export function notify<Input extends Schema>(
  input: Input,
  handler: (input: OutputOf<Input>, context: CallContext) => Later<void>,
): ServiceRoute<"notify", Input, typeof nothing> {
  return { kind: "notify", input, output: nothing, handler };
}
