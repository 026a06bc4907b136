// What the benchmark of SWP/1 calls: an echo of raw bodies, and a publication of many messages.

import { anything, bytes, call, rawCodec as RAW, service } from "../../src/service/service.ts";

const BODY = Buffer.alloc(32, "x");
/** So many are published before the thread's loop goes round, and they leave. */
const AT_ONCE = 64;

export default service(
  {
    echo: call(bytes, bytes, (input) => input),
    blast: call(anything, anything, async (count, { publish }) => {
      for (let n = 1; n <= Number(count); n++) {
        publish("blast", BODY, RAW);
        if (n % AT_ONCE === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      return null;
    }),
  },
  { authorize: () => true },
);
