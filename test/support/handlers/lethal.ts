// An echo of whole messages that can be told to die: each line that is no command comes back as it was.

import { isMainThread, threadId } from "node:worker_threads";
import { lines } from "../../../src/codec/lines.ts";
import { handlers } from "../../../src/handlers.ts";

export default handlers<string, string>({
  codec: lines({ maximumBytes: 1024 * 1024 }),
  message(connection, line) {
    if (line === "thread") connection.send(String(isMainThread ? 0 : threadId));
    else if (line === "throw") {
      setTimeout(() => {
        throw new Error("thrown where nobody can catch it");
      }, 0);
    } else if (line === "throw at once") {
      process.nextTick(() => {
        throw new Error("thrown in a tick");
      });
    } else if (line === "exit") process.exit(3);
    else connection.send(line);
  },
});
