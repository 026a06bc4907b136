// A process of very many clients: opens connections in bursts and keeps them, or opens and closes them as fast as they are
// served. Each one sends a line and waits for its echo, so that a connection counts only when some thread has served it.
//
// `node crowd.ts PORT`, then messages over IPC, each answered by one: "open COUNT BURST" → seconds, "churn SECONDS WIDTH" →
// how many were served, "close" → 0. It blocks while it works: it has nothing else to do.

import type { DriverEvents, Handle } from "../../src/driver/driver.ts";
import { EpollDriver } from "../../src/driver/epoll-driver.ts";

const MIB = 1024 * 1024;
const SLOTS = 16_384;
const LINE = "hello\n";
const STUCK_MS = 20_000;

class Crowd implements DriverEvents {
  readonly #address;
  readonly #driver = new EpollDriver({ events: this, slots: SLOTS, outputBytes: MIB });
  readonly #handles = new Set<Handle>();
  #served = 0;
  #closed = 0;
  /** Whether who has been served closes. */
  #churning = false;

  constructor(port: number) {
    this.#address = { family: "ipv4", host: "127.0.0.1", port } as const;
    this.#driver.output.write(LINE);
  }

  /** Opens `count` connections in bursts; how many seconds that took. */
  open(count: number, burst: number): number {
    const start = performance.now();
    this.#served = 0;
    for (let opened = 0; opened < count; ) {
      const next = Math.min(opened + burst, count);
      for (; opened < next; opened++) this.#dial();
      this.#turnUntil(() => this.#served >= opened, `${opened} served`);
    }
    return (performance.now() - start) / 1000;
  }

  /** Opens and closes for so long, `width` at a time; how many were served. */
  churn(seconds: number, width: number): number {
    const deadline = performance.now() + seconds * 1000;
    this.#served = 0;
    this.#churning = true;
    for (let n = 0; n < width; n++) this.#dial();
    this.#turnUntil(() => {
      while (this.#handles.size < width) this.#dial();
      return performance.now() > deadline;
    }, "the end of the time");
    this.#churning = false;
    const served = this.#served;
    this.close();
    return served;
  }

  close(): number {
    for (const handle of this.#handles) this.#driver.close(handle, true);
    this.#turnUntil(() => this.#handles.size === 0, "all closed");
    return 0;
  }

  #dial(): void {
    const handle = this.#driver.connect(this.#address, {});
    if (handle < 0) throw new Error(`connect was refused with ${handle}`);
    this.#handles.add(handle);
  }

  #turnUntil(done: () => boolean, what: string): void {
    let sum = -1;
    let since = performance.now();
    while (!done()) {
      this.#driver.turn(100);
      const now = this.#served + this.#closed;
      if (now !== sum) since = performance.now();
      else if (performance.now() - since > STUCK_MS)
        throw new Error(`this never happened: ${what}`);
      sum = now;
    }
  }

  connected(handle: Handle, result: number): void {
    if (result < 0) throw new Error(`connecting failed with ${result}`);
    this.#driver.resume(handle);
    this.#driver.send(handle, 0, LINE.length);
  }

  received(handle: Handle, result: number): void {
    if (result <= 0) throw new Error(`the server ended a connection: ${result}`);
    this.#served++;
    if (this.#churning) this.#driver.close(handle, true);
  }

  closed(handle: Handle): void {
    this.#handles.delete(handle);
    this.#closed++;
  }

  listening(): void {
    // It has no listener.
  }

  accepted(): void {
    // It has no listener.
  }

  sent(): void {
    // The echo says more.
  }

  detached(): void {
    // It gives no connection away.
  }
}

const crowd = new Crowd(Number(process.argv[2]));
process.on("message", (message: string) => {
  const [command, ...numbers] = message.split(" ");
  const [first = 0, second = 0] = numbers.map(Number);
  if (command === "open") process.send?.(crowd.open(first, second));
  else if (command === "churn") process.send?.(crowd.churn(first, second));
  else process.send?.(crowd.close());
});
