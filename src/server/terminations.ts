// The ends of threads. One that is in a native call cannot be ended before the call is over, and must not hold up the others'
// end; one that cannot yet be ended because two hundred others are being ended on two cores is no such thread.
//
// So what counts is not how long it takes, but for how long none has ended.

import { deferred } from "../deferred.ts";

/** How long none may end before those that are left are given up. */
const GRACE_MS = 2000;

export class Terminations {
  /** Those that are under way: to be called whenever a thread has ended. */
  readonly #others = new Set<() => void>();

  /** False: it is in a native call, and given up. */
  async terminate(worker: { terminate(): Promise<number> }): Promise<boolean> {
    const stuck = deferred<boolean>();
    let patience: NodeJS.Timeout | undefined;
    const wait = () => {
      clearTimeout(patience);
      patience = setTimeout(stuck.resolve, GRACE_MS, false);
    };
    wait();
    this.#others.add(wait);
    const ended = worker.terminate().then(() => true);
    const answer = await Promise.race([ended, stuck.promise]);
    this.#others.delete(wait);
    clearTimeout(patience);
    for (const waitAnew of answer ? this.#others : []) waitAnew();
    return answer;
  }
}
