// A process of peers, to be killed: one connection that reads its answer and one that does not.

import { connect } from "node:net";

const port = Number(process.argv[2]);
const reading = connect(port, "127.0.0.1", () => reading.write("reading"));
reading.once("data", () => {
  const silent = connect(port, "127.0.0.1", () => {
    silent.pause();
    silent.write("silently", () => process.stdout.write("ready\n"));
  });
});
