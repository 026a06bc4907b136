// Writes down every end of a connection, so that a test can ask for "exactly once, and why".

import assert from "node:assert/strict";
import type { CloseReason, Connection } from "../../src/handlers.ts";
import { until } from "./until.ts";

export interface Ending {
  readonly id: number;
  readonly reason: CloseReason;
  readonly error: Error | undefined;
}

export class Endings {
  readonly all: Ending[] = [];
  opened = 0;

  /** The two handlers that do the writing down, to be spread into a table. */
  readonly handlers = {
    opened: () => {
      this.opened++;
    },
    closed: (connection: Connection<never>, reason: CloseReason, error: Error | undefined) => {
      assert.equal(connection.open, false, "a connection that has ended says that it is open");
      this.all.push({ id: connection.id, reason, error });
    },
  };

  /** The only end there is once one has come. */
  async only(): Promise<Ending> {
    await until(() => this.all.length > 0, "closed");
    const [ending] = this.all;
    assert.ok(ending);
    assert.equal(this.all.length, 1, JSON.stringify(this.all));
    return ending;
  }
}
