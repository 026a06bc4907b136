// A peer of the benchmark: the echo of node-net.mjs in two processes of node:cluster. Usage: node node-cluster.mjs PORT
import cluster from "node:cluster";

if (cluster.isPrimary) {
  let listening = 0;
  cluster.on("listening", ({ process: { pid } }, { port }) => {
    if (pid !== undefined && ++listening === 2) console.log(`listening on 127.0.0.1:${port}`);
  });
  const [port] = process.argv.slice(2);
  cluster.setupPrimary({ args: [port], silent: true });
  for (let n = 0; n < 2; n++) cluster.fork();
  process.once("SIGTERM", () => {
    for (const worker of Object.values(cluster.workers)) worker.process.kill("SIGKILL");
    process.exit();
  });
} else {
  await import("./node-net.mjs");
}
