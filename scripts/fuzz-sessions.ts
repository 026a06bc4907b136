// The long fuzzing run of SWP/1's server sessions: node scripts/fuzz-sessions.ts [SESSIONS] [SEED]
//
// Clients that say anything in any order, in memory, against a judge who reads the specification, as in the tests; a million
// sessions unless told otherwise. What the specification does not have is told with its seed.

import { fuzzSessions } from "../test/service/fuzz/session-fuzz.ts";

const SESSIONS = 1_000_000;
const CHUNK = 5_000;

const [sessions = SESSIONS, first = Math.floor(Math.random() * 2 ** 16)] = process.argv
  .slice(2)
  .map(Number);
if (!(sessions > 0) || !Number.isInteger(first)) {
  throw new Error("usage: node scripts/fuzz-sessions.ts [SESSIONS] [SEED]");
}

const started = process.hrtime.bigint();
const total = { sessions: 0, frames: 0, handled: 0, resumed: 0 };
const endings = new Map<string, number>();
for (let seed = first; total.sessions < sessions; seed++) {
  const result = await fuzzSessions(Math.min(CHUNK, sessions - total.sessions), seed);
  for (const name of ["sessions", "frames", "handled", "resumed"] as const) {
    total[name] += result[name];
  }
  for (const [ending, count] of result.endings) {
    endings.set(String(ending), (endings.get(String(ending)) ?? 0) + count);
  }
  const seconds = Number((process.hrtime.bigint() - started) / 1_000_000_000n);
  const mebibytes = Math.round(process.memoryUsage().rss / 2 ** 20);
  const ends = [...endings].sort().map(([ending, count]) => `${ending}: ${count}`);
  console.log(
    `seed ${seed}: ${total.sessions} sessions, ${total.frames} frames, ${total.handled} handlers, ` +
      `${total.resumed} resumed, ${seconds} s, ${mebibytes} MiB; ended with ${ends.join(", ")}`,
  );
}
