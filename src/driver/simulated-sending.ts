// The sends of a simulated driver: in parts, as the window of the peer and the faults allow.
//
// Twist: the bytes are read late, and summed up before and after: whoever changes them too early is told by an exception.

import { EALREADY, ECANCELED, EINVAL, ENOTCONN } from "../sys/errno.ts";
import type { Entry } from "./simulated-entry.ts";
import type { SimulatedNetwork } from "./simulated-network.ts";
import type { SimulatedTurns } from "./simulated-turns.ts";

export class SimulatedSending {
  readonly #network: SimulatedNetwork;
  readonly #turns: SimulatedTurns;
  readonly #output: Buffer;
  readonly #settle: (entry: Entry) => void;

  /** `settle` is called whenever an operation is over that no turn tells of. */
  constructor(
    network: SimulatedNetwork,
    turns: SimulatedTurns,
    output: Buffer,
    settle: (entry: Entry) => void,
  ) {
    this.#network = network;
    this.#turns = turns;
    this.#output = output;
    this.#settle = settle;
  }

  /** As Driver.send, for an entry that has not been closed. */
  start(entry: Entry, offset: number, length: number): number {
    if (entry.kind === "listener" || entry.state !== "open") return -ENOTCONN;
    if (entry.sendLength > 0) return -EALREADY;
    if (offset < 0 || length < 1 || offset + length > this.#output.length) return -EINVAL;
    entry.sendOffset = offset;
    entry.sendLength = length;
    entry.sendDone = 0;
    entry.sendSettled = false;
    entry.sendSum = this.#sum(entry);
    const failure = this.#network.operate("send");
    if (failure > 0) this.#break(entry, failure);
    else this.soon(entry);
    return 0;
  }

  /** As Driver.sendNow, likewise. */
  now(entry: Entry, bytes: Uint8Array): number {
    if (entry.socket === undefined || entry.state !== "open") return -ENOTCONN;
    if (entry.sendLength > 0) return -EALREADY;
    const failure = this.#network.operate("send");
    if (failure > 0) {
      entry.socket.breakOff(failure, false);
      return -failure;
    }
    const isPartial = this.#network.happens("partialSend");
    const part = isPartial ? this.#network.random.below(bytes.length + 1) : bytes.length;
    return part === 0 ? 0 : entry.socket.write(bytes.subarray(0, part));
  }

  /** The next part of a send: when it is started, and whenever the peer has read. */
  soon(entry: Entry): void {
    if (entry.sendLength === 0 || entry.stepping || entry.sendSettled) return;
    entry.stepping = true;
    entry.underWay++;
    this.#network.clock.after(this.#turns.delay(), () => {
      entry.stepping = false;
      entry.underWay--;
      if (entry.state !== "gone" && !entry.sendSettled) this.#step(entry);
      this.#settle(entry);
    });
  }

  /** It is being closed: what has not left yet will not, unless it is too late to stop it. */
  cancel(entry: Entry): void {
    if (entry.sendLength === 0 || entry.sendSettled) return;
    if (entry.stepping && this.#network.happens("cancelRace")) return;
    this.#finish(entry, -ECANCELED);
  }

  #step(entry: Entry): void {
    const left = entry.sendLength - entry.sendDone;
    const part = this.#network.happens("partialSend")
      ? this.#network.random.between(1, left)
      : left;
    const at = entry.sendOffset + entry.sendDone;
    const written = entry.socket?.write(this.#output.subarray(at, at + part)) ?? -ENOTCONN;
    if (written < 0) return this.#finish(entry, written);
    entry.sendDone += written;
    if (entry.sendDone === entry.sendLength) {
      this.#assertUnchanged(entry);
      return this.#finish(entry, entry.sendLength);
    }
    // A close has come while this part was under way: what is left will not go out.
    if (entry.state === "closing") this.#finish(entry, -ECANCELED);
    else if (written === part) this.soon(entry);
  }

  #finish(entry: Entry, result: number): void {
    entry.sendSettled = true;
    this.#turns.complete(entry, "sent", result);
  }

  /** A send that a test makes fail: the connection is broken from here on. */
  #break(entry: Entry, errno: number): void {
    this.#finish(entry, -errno);
    entry.socket?.breakOff(errno, false);
  }

  /** Sends are long, so of a long one only every so-manieth byte counts. */
  #sum(entry: Entry): number {
    const end = entry.sendOffset + entry.sendLength;
    const stride = Math.max(1, entry.sendLength >> 12);
    let sum = 0x811c9dc5;
    for (let at = entry.sendOffset; at < end; at += stride) {
      sum = Math.imul(sum ^ (this.#output[at] as number), 0x01000193);
    }
    return sum;
  }

  #assertUnchanged(entry: Entry): void {
    if (this.#sum(entry) === entry.sendSum) return;
    const end = entry.sendOffset + entry.sendLength;
    throw new Error(`bytes ${entry.sendOffset} to ${end} of output changed while they were sent`);
  }
}
