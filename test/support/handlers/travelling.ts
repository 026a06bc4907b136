// Connections that are moved between threads: an echo that says how many lines the connection has had, how often it has
// arrived somewhere, and in which thread it is. What a thread knows of its connections is kept by the handlers for moves.

import { threadId } from "node:worker_threads";
import { lines } from "../../../src/codec/lines.ts";
import { type Connection, handlers } from "../../../src/handlers.ts";

interface Travels {
  lines: number;
  arrivals: number;
  keep?: () => void;
}

const here = new Set<Connection<string, Travels>>();

export default handlers<string, string, Travels>({
  codec: lines({ maximumBytes: 1024 * 1024 }),
  state: () => ({ lines: 0, arrivals: 0 }),
  opened(connection) {
    here.add(connection);
  },
  departed(connection) {
    if (!here.delete(connection)) throw new Error("it was not here");
  },
  arrived(connection) {
    here.add(connection);
    connection.state.arrivals++;
  },
  async message(connection, line) {
    const { state } = connection;
    state.lines++;
    if (line === "exit") process.exit(3);
    if (line === "stay") state.keep = () => undefined;
    if (line === "think") await new Promise((resolve) => setTimeout(resolve, 20));
    if (line === "where")
      connection.send(`${threadId} ${connection.id} ${state.arrivals} ${here.size}`);
    else connection.send(`${state.lines} ${line}`);
  },
  closed(connection) {
    if (!here.delete(connection)) throw new Error("it was not here");
  },
});
