// The end of waits: timers that stay in the ring, instead of a time limit for each wait.
//
// Why: a busy server waits thousands of times a second for the same next deadline, and each limited wait is dear: a call with
// seven arguments, and a timer that the kernel sets up and takes down. One that is in the ring ends whatever wait it finds.
//
// Twists: a deadline may go away or be put off; the timer then ends a wait for nothing, once. A nearer deadline gets a timer of
// its own. Short waits keep their limit: a timer would be gone as soon as it was set, and some depend on the precise time.
// Invariant: #firesAt are the times at which the timers in the ring fire, the next one last.

import { IORING_OP_TIMEOUT } from "../sys/abi.ts";
import { NativeMemory, PAGE } from "../sys/native-memory.ts";
import { OPERATION_TIMER } from "./event-cookie.ts";
import { highWord, type UringRing } from "./uring-ring.ts";

/** Timers in the ring at most; whoever needs another one waits with a limit. */
const MOST_TIMERS = 8;
/** Waits below this have a limit of their own, in ms. */
const SHORT_MS = 2;
/** A timer that fires this much after the end of a wait is good enough: deadlines are in whole ms. */
const SLACK_MS = 1;

export class RingTimer {
  readonly #ring: UringRing;
  /** struct __kernel_timespec: read by the kernel as it takes the submission. */
  readonly memory = NativeMemory.allocate(PAGE);
  readonly #timespec: BigInt64Array;
  readonly #firesAt: number[] = [];

  constructor(ring: UringRing) {
    this.#ring = ring;
    const { buffer, byteOffset } = this.memory.bytes;
    this.#timespec = new BigInt64Array(buffer, byteOffset, 2);
  }

  /** The limit that a wait of `waitMs` (above 0) needs: −1 when a timer will end it, which is in the ring or queued. */
  limitOf(waitMs: number, nowMs: number): number {
    if (waitMs < SHORT_MS) return waitMs;
    const end = nowMs + waitMs;
    const next = this.#firesAt.at(-1);
    if (next !== undefined && next <= end + SLACK_MS) return -1;
    if (this.#firesAt.length === MOST_TIMERS) return waitMs;
    this.#firesAt.push(end);
    const seconds = Math.floor(waitMs / 1000);
    this.#timespec[0] = BigInt(seconds);
    this.#timespec[1] = BigInt(Math.round((waitMs - seconds * 1000) * 1e6));
    const { address } = this.memory;
    const low = address | 0;
    this.#ring.push(IORING_OP_TIMEOUT, -1, low, highWord(address), 1, 0, 0, OPERATION_TIMER, 0);
    return -1;
  }

  /** One has fired: the next one. */
  fired(): void {
    this.#firesAt.pop();
  }

  release(): void {
    this.memory.release();
  }
}
