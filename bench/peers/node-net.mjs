// A peer of the benchmark: TCP echo on node:net as one would write it, with
// backpressure. Usage: node node-net.mjs PORT
import { createServer } from "node:net";

const port = Number(process.argv[2]);

const server = createServer({ noDelay: true }, (socket) => {
  socket.on("data", (bytes) => {
    if (!socket.write(bytes)) socket.pause();
  });
  socket.on("drain", () => socket.resume());
  socket.on("error", () => socket.destroy());
});

server.listen({ port, host: "127.0.0.1", backlog: 4096 }, () => {
  console.log(`listening on 127.0.0.1:${port}`);
});
