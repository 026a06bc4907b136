// What the kernel says of threads.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { ownThread, threadSchedule } from "../../src/sys/thread-time.ts";
import { until } from "../support/until.ts";

const skip = ownThread() === 0 && "there is no /proc here";

/** The number in the kernel of a thread that first says it, and then does something for ever. */
async function threadThat(t: { after(stop: () => unknown): void }, does: string): Promise<number> {
  const module = JSON.stringify(new URL("../../src/sys/thread-time.ts", import.meta.url).href);
  const code = `import(${module}).then(({ ownThread }) => {
    require("node:worker_threads").parentPort.postMessage(ownThread());
    ${does};
  });`;
  const worker = new Worker(code, { eval: true });
  t.after(() => worker.terminate());
  return await new Promise((resolve) => worker.once("message", resolve));
}

test("who sleeps, and who runs", { skip }, async (t) => {
  const sleeper = await threadThat(
    t,
    "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)",
  );
  const runner = await threadThat(t, "for (;;);");
  await until(() => threadSchedule(sleeper)?.sleeps === true, "a thread that sleeps");
  const before = threadSchedule(runner);
  assert.equal(before?.sleeps, false);
  await until(
    () => (threadSchedule(runner)?.cpuMs ?? 0) > (before?.cpuMs ?? 0),
    "time that it runs",
  );
});

test("of a thread that there is not, nothing", { skip }, () => {
  assert.equal(threadSchedule(0), undefined);
  assert.equal(threadSchedule(2 ** 22 + 1), undefined);
});
