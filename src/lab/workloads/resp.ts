// RESP, the protocol of Redis: one PING, three SET and six GET in ten requests, over a thousand keys. A key has one value for
// ever, so that what GET brings back is known; sizes are those of the values.
//
// Keys carry the seed: another run, of other sizes, does not find them. A GET before the first SET brings nothing, which is
// right too; error replies are counted, and their connection goes on.

import { KnownAnswers } from "./known-answers.ts";
import { randomText, Tape } from "./tape.ts";
import { AnswerError, type Workload, type WorkloadContext } from "./workload.ts";

const KEYS = 1000;
const PINGS = 1;
const SETS = 3;
const OF = 10;
/** Enough that the mix and the keys are well represented. */
const REQUESTS = 4096;
const MOST_VALUE_BYTES = 16 * 1024 * 1024;

export function resp({ sizes, random, report }: WorkloadContext): Workload {
  const values = new Map<number, Buffer>();
  const requests: Buffer[] = [];
  const answers: Buffer[] = [];
  const gets = new Set<number>();
  const count = Math.min(REQUESTS, Math.max(Math.floor(MOST_VALUE_BYTES / sizes.mean), OF));
  for (let n = 0; n < count; n++) {
    const key = random.below(KEYS);
    const name = `sluice:${random.seed}:${key}`;
    const draw = random.below(OF);
    if (draw < PINGS) {
      requests.push(command("PING"));
      answers.push(Buffer.from("+PONG\r\n"));
      continue;
    }
    const value = values.get(key) ?? randomText(random, sizes.draw(random));
    values.set(key, value);
    if (draw < PINGS + SETS) {
      requests.push(command("SET", name, value));
      answers.push(Buffer.from("+OK\r\n"));
    } else {
      gets.add(n);
      requests.push(command("GET", name));
      answers.push(bulk(value));
    }
  }
  const judge = (line: string, request: number) => {
    if (line.startsWith("-")) return report("ERROR_ANSWER", `the target answered "${line}"`);
    if (line === "$-1" && gets.has(request)) return;
    throw new AnswerError("WRONG_CONTENT", `an answer of a kind that was not asked for: "${line}"`);
  };
  return new KnownAnswers({
    requests: new Tape(requests),
    answers: new Tape(answers),
    // Where an answer ends is only known from its content.
    verify: true,
    judge,
  });
}

function command(...words: readonly (string | Buffer)[]): Buffer {
  const head = Buffer.from(`*${words.length}\r\n`);
  return Buffer.concat([head, ...words.map((word) => bulk(Buffer.from(word)))]);
}

function bulk(value: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`$${value.length}\r\n`), value, Buffer.from("\r\n")]);
}
