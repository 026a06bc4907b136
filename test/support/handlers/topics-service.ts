// A service whose clients may subscribe and publish, count, and ask which thread they are on.

import { anything, call, serverStream, service } from "../../../src/service/service.ts";

export default service(
  {
    thread: call(anything, anything, (_input, { shared }) => shared.thread),
    echo: call(anything, anything, (input) => input),
    count: serverStream(anything, anything, async function* (most) {
      for (let n = 0; n < Number(most); n++) yield n;
    }),
  },
  { authorize: () => true },
);
