// lethal.ts for threads whose connections are adopted by others: tells the id of a connection, what its thread knows of it,
// and keeps one busy.

import type { Connection } from "../../../src/handlers.ts";
import { handlers } from "../../../src/handlers.ts";
import lethal from "./lethal.ts";

interface Known {
  /** In this thread: opened or adopted. */
  since: "opened" | "adopted" | "nothing";
  lines: number;
}

const MUCH = "x".repeat(64 * 1024);

export default handlers<string, string, Known>({
  ...(lethal.codec && { codec: lethal.codec }),
  state: () => ({ since: "nothing", lines: 0 }),
  opened(connection) {
    connection.state.since = "opened";
  },
  adopted(connection) {
    connection.state.since = "adopted";
  },
  async message(connection, line) {
    connection.state.lines++;
    if (line === "known") connection.send(known(connection));
    else if (line === "never") await new Promise(() => undefined);
    else if (line === "much") for (let n = 0; n < 16; n++) connection.send(MUCH);
    else if (line === "later") {
      await new Promise((resolve) => setTimeout(resolve, 2));
      connection.send(line);
    } else lethal.message(connection as Connection<string, unknown>, line);
  },
});

function known({ id, state }: Connection<string, Known>): string {
  return `${id} ${state.since} ${state.lines}`;
}
