// One line of live statistics, rewritten each second while somebody looks at a terminal.

import type { Server } from "../server/serve.ts";
import { type Statistics, skewOf } from "../server/statistics.ts";

const EVERY_MS = 1000;

/** Starts showing, on a terminal only; the function that stops it, with the line cleared. */
export function showStatistics(
  server: Server,
  terminal: NodeJS.WriteStream,
): (() => void) | undefined {
  if (!terminal.isTTY) return undefined;
  let before = server.statistics();
  const timer = setInterval(() => {
    const now = server.statistics();
    terminal.write(`\r\x1b[2K${statisticsLine(before, now, EVERY_MS)}`);
    before = now;
  }, EVERY_MS);
  timer.unref();
  return () => {
    clearInterval(timer);
    terminal.write("\r\x1b[2K");
  };
}

/** What happened between two readings: rates per second, and what is open and waiting now. */
export function statisticsLine(before: Statistics, now: Statistics, elapsedMs: number): string {
  const perSecond = (count: number) => short((count * 1000) / elapsedMs);
  const parts = [
    `${now.connections} connections`,
    `${perSecond(now.messages - before.messages).trimEnd()} messages/s`,
    `${perSecond(now.bytesReceived - before.bytesReceived)}B/s in`,
    `${perSecond(now.bytesSent - before.bytesSent)}B/s out`,
  ];
  if (now.threads.length > 1) parts.push(`skew ${skewBetween(before, now).toFixed(2)}`);
  if (now.outputBytes > 0) parts.push(`${short(now.outputBytes)}B waiting`);
  if (now.acceptErrors > 0) parts.push(`${now.acceptErrors} accept errors`);
  if (now.handlerErrors > 0) parts.push(`${now.handlerErrors} handler errors`);
  return parts.join("  ");
}

/** Of the messages in between; of the connections, when there were none. */
function skewBetween(before: Statistics, now: Statistics): number {
  if (now.messages === before.messages) return now.skew.connections;
  return skewOf(
    now.threads.map(({ messages }, n) => messages - (before.threads[n]?.messages ?? 0)),
  );
}

/** With the space, and the letter if there is one, that go before the unit. */
function short(value: number): string {
  if (value >= 1e9) return `${(value / 1e9).toFixed(1)} G`;
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)} M`;
  if (value >= 1e3) return `${(value / 1e3).toFixed(1)} k`;
  return `${Math.round(value)} `;
}
