// How promises run in a simulation: between turns, by Node's own means and to the last one, so that a run is one synchronous
// call. It must come from a callback of the event loop (`onEventLoop`): inside a promise job no other can run.

/** Runs something from a callback of the event loop. */
export function onEventLoop<Result>(run: () => Result): Promise<Result> {
  return new Promise((resolve, reject) => {
    setImmediate(() => {
      try {
        resolve(run());
      } catch (error) {
        reject(error);
      }
    });
  });
}

/** Runs nextTicks and promise jobs until none is left. */
export function runTicks(): void {
  const run: unknown = Reflect.get(process, "_tickCallback");
  if (typeof run !== "function") throw new Error("this Node cannot run promises between turns");
  Reflect.apply(run, process, []);
}
