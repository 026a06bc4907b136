// A server that does not end when asked, with a child process that does not either.
import { spawn } from "node:child_process";
import { createServer } from "node:net";

process.on("SIGTERM", () => console.log("not yet"));
const [port, whose] = process.argv.slice(2);
if (whose === "parent") {
  spawn(process.execPath, [import.meta.filename, "0", "child"], { stdio: "inherit" });
  setTimeout(() => createServer((socket) => socket.pipe(socket)).listen(port, "127.0.0.1"), 100);
} else {
  setInterval(() => undefined, 1000);
}
