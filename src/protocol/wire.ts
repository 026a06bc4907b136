// What all sessions of one thread have in common: the memory that frames are put together in, the decoded frame of the
// moment, the clock, and what is due when. One of each, since a thread does one thing at a time.
//
// Frames of several sessions never stand in the writer together: a session that begins to write sends the other's on its
// way first. Time and "later in this turn" are handed in, so that a simulation can own them.

import { Agenda } from "./agenda.ts";
import { InputView } from "./frame-reader.ts";
import { FrameWriter } from "./frame-writer.ts";
import { MsgFrame, OpenFrame } from "./stream-frames.ts";

/** Frames are handed on when so many bytes are there. */
const ENOUGH = 64 * 1024;

export interface WireHost {
  /** Monotonic, in whole ms. */
  now(): number;
  /** Calls back soon: after what runs now, and before the thread waits. */
  soon(run: () => void): void;
}

/** Who has frames in the writer. */
export interface Writing {
  /** Hands on everything in the writer. */
  flush(): void;
}

export class Wire {
  readonly inputView = new InputView();
  readonly writer = new FrameWriter();
  readonly open = new OpenFrame();
  readonly msg = new MsgFrame();
  readonly agenda = new Agenda();
  readonly #host: WireHost;
  #writing: Writing | undefined;
  #asked = false;
  readonly #run = () => {
    this.#asked = false;
    this.flush();
  };

  constructor(host: WireHost) {
    this.#host = host;
  }

  now(): number {
    return this.#host.now();
  }

  /** The writer is this session's from here on; what another one has in it leaves. */
  begin(session: Writing): void {
    if (this.#writing === session) {
      if (this.writer.end >= ENOUGH) session.flush();
      return;
    }
    this.flush();
    this.#writing = session;
    if (this.#asked) return;
    this.#asked = true;
    this.#host.soon(this.#run);
  }

  flush(): void {
    const session = this.#writing;
    this.#writing = undefined;
    session?.flush();
  }
}
