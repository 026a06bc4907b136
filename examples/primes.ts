// Counts primes, which is CPU work: what the model `hybrid` is for.
//
//   npm run sluice -- serve examples/primes.ts --model hybrid --threads 1
// try: printf '1000\n5000000\n10\n' | nc -q 5 127.0.0.1 {port}
//
// Each line is a number, and is answered with how many primes there are up to it: small ones at once, large ones by a compute
// thread. Meanwhile the reactor serves everybody else; under another model it would hold them up. Who hangs up before the
// answer cancels the work.

import { handlers, heavy, lines } from "../src/index.ts";

/** What takes less than a millisecond is not worth a hop to another thread. */
const LIGHT = 10_000;
const MOST = 50_000_000;
const BLOCK = 1 << 16;

/** The sieve of Eratosthenes, a block at a time; looks between two blocks whether anybody still wants to know. */
function countPrimes(limit: number, signal?: AbortSignal): number {
  const small = primesUpTo(Math.floor(Math.sqrt(limit)));
  let count = 0;
  for (let from = 2; from <= limit; from += BLOCK) {
    signal?.throwIfAborted();
    const to = Math.min(from + BLOCK - 1, limit);
    const composite = new Uint8Array(to - from + 1);
    for (const prime of small) {
      const first = Math.max(prime * prime, Math.ceil(from / prime) * prime);
      for (let n = first; n <= to; n += prime) composite[n - from] = 1;
    }
    for (const mark of composite) if (mark === 0) count++;
  }
  return count;
}

function primesUpTo(limit: number): number[] {
  const primes: number[] = [];
  for (let n = 2; n <= limit; n++) {
    if (primes.every((prime) => prime * prime > n || n % prime !== 0)) primes.push(n);
  }
  return primes;
}

export default handlers({
  codec: lines({ maximumBytes: 32 }),
  message(connection, line) {
    const limit = Number(line);
    const wrong = !Number.isInteger(limit) || limit < 0 || limit > MOST;
    if (!wrong && limit > LIGHT) return heavy(limit);
    connection.send(wrong ? `a number from 0 to ${MOST}, please` : String(countPrimes(limit)));
    return undefined;
  },
  compute: countPrimes,
  computed(connection, count: number) {
    connection.send(String(count));
  },
  refused(connection) {
    connection.send("too much to count at the moment");
  },
});
