// An echo over WebSocket, with `ws` as it comes.
import { WebSocketServer } from "ws";

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false });
server.on("connection", (socket) => {
  socket.on("message", (message) => socket.send(message));
});
server.on("listening", () => console.log(JSON.stringify({ port: server.address().port })));
