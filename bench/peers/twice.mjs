// Two processes of a peer that has one thread each, on one port (SO_REUSEPORT). Usage: node twice.mjs PORT PROGRAM [ARGUMENT…]
import { spawn } from "node:child_process";

const [port, program, ...parameters] = process.argv.slice(2);
let listening = 0;
const children = [0, 1].map(() => {
  const child = spawn(program, parameters, {
    env: { ...process.env, REUSE_PORT: "1" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  child.stdout.once("data", () => {
    if (++listening === 2) console.log(`listening on 127.0.0.1:${port}`);
  });
  child.once("exit", () => end());
  return child;
});

function end() {
  for (const child of children) child.kill("SIGKILL");
  process.exit();
}
process.once("SIGTERM", end);
