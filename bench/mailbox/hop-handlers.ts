// One end of a hop between two reactors of a server: what goes from one to the other is a broadcast. "flood" begins it.

import { Buffer } from "node:buffer";
import { type Context, handlers, lines } from "../../src/index.ts";
import { HopEnd, type HopFigures, type HopPlan } from "./hop-end.ts";

const BYTES = Buffer.alloc(64, 7);
const OBJECT = { kind: "moved", player: 7, x: 1.5, y: -2.5 };

/** What this thread is doing. */
const hop: { end: HopEnd | undefined; message: unknown } = { end: undefined, message: BYTES };

function begin(context: Context<string>, plan: HopPlan, what: string): void {
  const tell = (figures: HopFigures) => {
    const name = plan.sends ? "latency" : "rate";
    void context.map<HopFigures>("figures").set(name, figures);
  };
  hop.end = new HopEnd(plan, tell);
  hop.message = what === "bytes" ? BYTES : OBJECT;
}

async function flood(context: Context<string>, messages: number): Promise<void> {
  for (let n = 0; n < messages; n++) {
    while (!context.broadcast(hop.message)) await new Promise((resolve) => setImmediate(resolve));
  }
}

export default handlers<string, string>({
  codec: lines(),
  async message(connection, line) {
    const [command, what = "", messages = "", roundTrips = ""] = line.split(" ");
    const { context } = connection;
    if (command === "thread") return void connection.send(String(context.thread));
    const plan = { sends: command === "flood", messages: +messages, roundTrips: +roundTrips };
    begin(context, plan, what);
    connection.send("begun");
    if (plan.sends) await flood(context, plan.messages);
  },
  broadcast(context) {
    if (hop.end?.came() === true) context.broadcast(hop.message);
  },
});
