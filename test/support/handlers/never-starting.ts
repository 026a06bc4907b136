// Echo in threads that never start, `?while=loading` or `?while=started`; but for the first one, and those that come after as many
// as there are processors.

import { availableParallelism } from "node:os";
import { workerData } from "node:worker_threads";
import { handlers } from "../../../src/handlers.ts";

const { thread } = workerData.place;
const { searchParams } = new URL(import.meta.url);
const stuckWhile = thread > 0 && thread <= availableParallelism() ? searchParams.get("while") : "";
const never = new Promise<void>(() => undefined);

if (stuckWhile === "loading") await never;

export default handlers({
  started: () => (stuckWhile === "started" ? never : undefined),
  message(connection, bytes) {
    connection.write(bytes);
  },
});
