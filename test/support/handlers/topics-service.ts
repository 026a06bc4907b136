// A service whose clients may subscribe and publish, and ask which thread they are on.

import { anything, call, service } from "../../../src/service/service.ts";

export default service(
  { thread: call(anything, anything, (_input, { shared }) => shared.thread) },
  { authorize: () => true },
);
