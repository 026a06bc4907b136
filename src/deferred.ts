// A promise and its two ends, for the published package: Promise.withResolvers came with Node 22, and on older ones
// the portable driver runs too.

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
