// What the language leaves to us of promises: one with its two ends, for the published package (Promise.withResolvers came with Node
// 22, and on older ones the portable driver runs too); and whether something is one.

export function deferred<Value>(): PromiseWithResolvers<Value> {
  let resolve: PromiseWithResolvers<Value>["resolve"] = unset;
  let reject: PromiseWithResolvers<Value>["reject"] = unset;
  const promise = new Promise<Value>((resolveIt, rejectIt) => {
    resolve = resolveIt;
    reject = rejectIt;
  });
  return { promise, resolve, reject };
}

/** Stands in until the promise's executor has run, which it does at once. */
function unset(): void {
  throw new Error("a promise's executor has not run");
}

/** Also of another implementation; bytes are none, and are not asked: a name that is not there is dear to look for in them. */
export function isPromise(value: unknown): value is Promise<unknown> {
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return false;
  return value instanceof Promise || ("then" in value && typeof value.then === "function");
}
