// A service whose calls are counted over all threads, and whose threads can be told to die.

import { anything, call, service } from "../../../src/service/service.ts";

export default service({
  thread: call(anything, anything, (_input, { shared }) => shared.thread),
  count: call(anything, anything, (_input, { shared }) => shared.counter("executed").add()),
  /** Never answers the first time. */
  stuck: call(anything, anything, (_input, { shared }) => {
    const executed = shared.counter("executed").add();
    return executed === 1 ? new Promise(() => undefined) : executed;
  }),
  die: call(anything, anything, () => process.exit(3)),
});
