// When, how and where something was measured.
import { describeMachine } from "./machine.ts";
import type { Provenance } from "./results.ts";

/** Of what is written now: by this npm script, with the words that it was given. */
export function provenanceOf(
  script: string,
  rounds: number,
  seconds: number,
  machine = describeMachine(),
): Provenance {
  const words = process.argv.slice(2);
  return {
    date: `${new Date().toISOString().slice(0, 16).replace("T", " ")} UTC`,
    command: [`npm run ${script}`, ...(words.length > 0 ? ["--", ...words] : [])].join(" "),
    rounds,
    seconds,
    machine,
  };
}
