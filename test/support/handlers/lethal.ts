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
    } else if (line === "throw at once") throwInTick();
    else if (line === "throw and linger") {
      process.on("exit", loop);
      throwInTick();
    } else if (line === "exit") process.exit(3);
    else if (line === "loop") loop();
    else if (line === "loop later") setTimeout(loop, 0);
    else if (line === "work") {
      const until = performance.now() + 20;
      while (performance.now() < until);
      connection.send(line);
    } else if (line === "heap") setImmediate(fillHeap, []);
    else connection.send(line);
  },
});

function throwInTick(): void {
  process.nextTick(() => {
    throw new Error("thrown in a tick");
  });
}

function loop(): never {
  for (;;);
}

/** A little at a time, as a leak does, while connections are served. */
function fillHeap(kept: unknown[]): void {
  for (let n = 0; n < 20_000; n++) kept.push({ n });
  setImmediate(fillHeap, kept);
}
