// What a route takes and gives: any Standard Schema (zod, valibot, arktype, …), by its shape alone, so that none of them is
// needed here (https://standardschema.dev, version 1). And the two that stand for a codec of their own: bytes and text.

/** The part of a Standard Schema that is used. */
export interface Schema<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => Validated<Output> | Promise<Validated<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

export type Validated<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly Issue[] };

export interface Issue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** What goes into a schema, on the sending side. */
export type InputOf<S> = S extends Schema<infer Input, infer _Output> ? Input : never;
/** What comes out of it, on the receiving side. */
export type OutputOf<S> = S extends Schema<infer _Input, infer Output> ? Output : never;

/** Whether a value is as the schema says, and what it is then; some schemas need time. */
export function validate(
  schema: Schema,
  value: unknown,
): Validated<unknown> | Promise<Validated<unknown>> {
  return schema["~standard"].validate(value);
}

const VENDOR = "sluice";

function schema<Type>(what: string, is: (value: unknown) => value is Type): Schema<Type> {
  return {
    "~standard": {
      version: 1,
      vendor: VENDOR,
      validate: (value) => (is(value) ? { value } : { issues: [{ message: `expected ${what}` }] }),
    },
  };
}

/** Bytes as they are, in every codec but `utf8`: a Buffer when they are received, safe to keep. */
export const bytes: Schema<Uint8Array, Buffer> = schema<Buffer>(
  "bytes",
  (value): value is Buffer => value instanceof Uint8Array,
) as unknown as Schema<Uint8Array, Buffer>;

/** A string, in every codec but `raw`. */
export const text: Schema<string> = schema(
  "a string",
  (value): value is string => typeof value === "string",
);

/** Whatever the codec can carry, unchecked. */
export const anything: Schema<unknown> = schema("anything", (_value): _value is unknown => true);

/** Nothing: for routes without input or output. */
export const nothing: Schema<void, undefined> = {
  "~standard": {
    version: 1,
    vendor: VENDOR,
    validate: (value) =>
      value === undefined || value === null
        ? { value: undefined }
        : { issues: [{ message: "expected nothing" }] },
  },
};

/** The first thing that is wrong, in words: where, and what. */
export function describeIssues(issues: readonly Issue[]): string {
  const [first] = issues;
  if (first === undefined) return "it does not fit";
  const path = (first.path ?? []).map((part) => String(typeof part === "object" ? part.key : part));
  return path.length === 0 ? first.message : `${path.join(".")}: ${first.message}`;
}
