// A process with two echo servers in its one thread, of the drivers that its arguments name. It prints both ports.

import type { DriverChoice } from "../../src/driver/choices.ts";
import { serve } from "../../src/server/serve.ts";

const ports: number[] = [];
for (const driver of process.argv.slice(2)) {
  const server = await serve({
    driver: driver as DriverChoice,
    message: (connection, bytes) => void connection.write(bytes),
  });
  if (server.address.family !== "unix") ports.push(server.address.port);
}
console.log(`ports ${ports.join(" ")}`);
