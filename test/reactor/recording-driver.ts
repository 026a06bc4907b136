// A driver that does nothing and writes down what it is told, for tests of one part of the reactor at a time. Sends are
// ended by the test; the bytes of each are kept as they were when the send ended, since that is when the kernel is done.

import { Buffer } from "node:buffer";
import type { Driver, Handle } from "../../src/driver/driver.ts";
import type { Address } from "../../src/sys/address.ts";
import { EALREADY, ENOTSUP } from "../../src/sys/errno.ts";

interface Send {
  readonly offset: number;
  readonly length: number;
  /** What the bytes were when the send was started. */
  readonly bytes: Buffer;
}

export class RecordingDriver implements Driver {
  readonly name = "simulated";
  readonly capabilities;
  readonly counters = { bufferStarvation: 0, waits: 0 };
  readonly input = Buffer.alloc(0);
  readonly inputKeepable = false;
  inputKept = false;
  readonly output: Buffer;
  readonly wakeDescriptor = -1;
  readonly watchedReady = false;
  wanted: (() => void) | undefined;
  /** Verbs on listeners and connections, in order: "pause 1". */
  log: string[] = [];
  wakes = 0;
  nowMs = 0;
  readonly addresses = new Map<Handle, Address>();
  readonly sends = new Map<Handle, Send>();
  /** What `sendNow` answers at most: a number of bytes, or −errno. */
  takesNow = 0;
  /** What it has taken. */
  readonly sentNow: Buffer[] = [];

  constructor(outputBytes = 1 << 20, waits = true) {
    this.output = Buffer.alloc(outputBytes);
    this.capabilities = {
      waits,
      descriptors: false,
      moves: false,
      socketOptions: false,
      reset: true,
      sendNow: true,
    };
  }

  /** What was logged since the last call. */
  takeLog(): string[] {
    const { log } = this;
    this.log = [];
    return log;
  }

  /** Ends a send and gives its bytes. @throws Error when they have changed under way */
  finishSend(handle: Handle): Buffer {
    const send = this.sends.get(handle);
    if (send === undefined) throw new Error(`no send is under way on ${handle}`);
    this.sends.delete(handle);
    const now = this.output.subarray(send.offset, send.offset + send.length);
    if (!now.equals(send.bytes)) throw new Error("bytes were changed while the kernel had them");
    return send.bytes;
  }

  send(handle: Handle, offset: number, length: number): number {
    if (this.sends.has(handle)) return -EALREADY;
    if (length < 1 || offset < 0 || offset + length > this.output.length) {
      throw new RangeError(`send of ${length} at ${offset}`);
    }
    const bytes = Buffer.from(this.output.subarray(offset, offset + length));
    this.sends.set(handle, { offset, length, bytes });
    return 0;
  }

  sendNow(_handle: Handle, bytes: Uint8Array): number {
    if (this.takesNow < 0) return this.takesNow;
    const count = Math.min(this.takesNow, bytes.length);
    if (count > 0) this.sentNow.push(Buffer.from(bytes.subarray(0, count)));
    return count;
  }

  pause(handle: Handle): number {
    this.log.push(`pause ${handle}`);
    return 0;
  }

  resume(handle: Handle): number {
    this.log.push(`resume ${handle}`);
    return 0;
  }

  close(handle: Handle, reset: boolean): number {
    this.log.push(`${reset ? "reset" : "close"} ${handle}`);
    return 0;
  }

  remoteAddress(handle: Handle): Address | number {
    return this.addresses.get(handle) ?? -ENOTSUP;
  }

  wake(): void {
    this.wakes++;
  }

  now(): number {
    return this.nowMs;
  }

  /** What `listen` answers: a handle, or −errno. */
  listener: Handle | number = -ENOTSUP;

  listen(): Handle | number {
    return this.listener;
  }

  connect = () => -ENOTSUP;
  adopt = (_descriptor: number): number => -ENOTSUP;
  letGo = (_descriptor: number): void => undefined;
  shutdown = () => -ENOTSUP;
  detach = (_handle: Handle): number => -ENOTSUP;
  configure = () => -ENOTSUP;
  localAddress = () => -ENOTSUP;
  tcpInfo = () => -ENOTSUP;
  descriptor = () => -ENOTSUP;
  turn = () => 0;
  watch = () => undefined;
  dispose = () => undefined;
}
