// A process that connects, is refused, and connects again, one after the other, and then has nothing left to do.

import { connect } from "../../src/client/connect.ts";
import type { DriverChoice } from "../../src/driver/choices.ts";

const [driver, answering, silent] = process.argv.slice(2) as [DriverChoice, string, string];

async function ask(): Promise<void> {
  const answer = Promise.withResolvers<void>();
  const connection = await connect({
    driver,
    port: Number(answering),
    message: (self) => {
      self.close();
      answer.resolve();
    },
  });
  connection.write("anyone?");
  await answer.promise;
  console.log("answered");
}

await ask();
const refused = connect({ driver, port: Number(silent), message: () => undefined });
await refused.catch((error: NodeJS.ErrnoException) => console.log(error.code));
await ask();
