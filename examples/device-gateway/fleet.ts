// What the gateway knows of its devices: their latest readings, and the commands that each of them has not confirmed yet.
//
// A device's session is this, and no connection: it survives however many of them. Commands are numbered from 1 for each
// device and kept until it asks for those behind them, which is how it confirms. Bounded: a device that never comes back costs
// MOST_COMMANDS commands.

export interface Command {
  readonly seq: number;
  readonly command: string;
}

export interface Reading {
  readonly metric: string;
  readonly value: number;
}

const MOST_COMMANDS = 1000;

class DeviceSession {
  readonly latest = new Map<string, number>();
  /** Not confirmed, in order. */
  commands: Command[] = [];
  lastSeq = 0;
  readings = 0;
  /** Wakes who waits for commands. */
  wake: (() => void) | undefined;
}

export class Fleet {
  readonly #devices = new Map<string, DeviceSession>();

  /** How many readings of a device were taken. */
  readings(device: string): number {
    return this.#session(device).readings;
  }

  latest(device: string): ReadonlyMap<string, number> {
    return this.#session(device).latest;
  }

  take(device: string, { metric, value }: Reading): void {
    const session = this.#session(device);
    session.readings++;
    session.latest.set(metric, value);
  }

  /** Undefined: the device has more unconfirmed ones than it may. */
  command(device: string, command: string): Command | undefined {
    const session = this.#session(device);
    if (session.commands.length >= MOST_COMMANDS) return undefined;
    const numbered = { seq: ++session.lastSeq, command };
    session.commands.push(numbered);
    session.wake?.();
    return numbered;
  }

  /** Commands behind `after`, as they come, until the signal; those up to `after` are confirmed. */
  async *commands(device: string, after: number, signal: AbortSignal): AsyncGenerator<Command> {
    const session = this.#session(device);
    session.commands = session.commands.filter(({ seq }) => seq > after);
    let sent = after;
    signal.addEventListener("abort", () => session.wake?.());
    while (!signal.aborted) {
      const next = session.commands.find(({ seq }) => seq > sent);
      if (next !== undefined) {
        yield next;
        sent = next.seq;
      } else {
        await this.#woken(session);
      }
    }
  }

  #woken(session: DeviceSession): Promise<void> {
    // A device that has come back on another connection waits there: the former wait is over.
    session.wake?.();
    return new Promise((resolve) => {
      session.wake = resolve;
    });
  }

  #session(device: string): DeviceSession {
    let session = this.#devices.get(device);
    if (session === undefined) {
      session = new DeviceSession();
      this.#devices.set(device, session);
    }
    return session;
  }
}
