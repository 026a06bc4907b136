// How long a request may take, as its caller says it.

/** In ms. */
export const LONGEST_DEADLINE_MS = 86_400_000;

/** @throws RangeError for what is no time */
export function checkDeadline(ms: number): number {
  if (Number.isInteger(ms) && ms >= 1 && ms <= LONGEST_DEADLINE_MS) return ms;
  throw new RangeError(
    `deadlineMs must be a whole number of ms from 1 to ${LONGEST_DEADLINE_MS} (a day), not ${String(ms)}`,
  );
}
