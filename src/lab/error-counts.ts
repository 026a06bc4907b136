// Errors by their code: how often, and what the first one was. Nothing is swallowed, and nothing is printed a million times.

import { errnoText } from "../sys/errno.ts";
import { ERROR_TEXTS, type ErrorFigures } from "./result.ts";

export class ErrorCounts {
  readonly #byCode = new Map<string, { count: number; text: string }>();

  /** `detail` is kept of the first error of a code. */
  count(code: string, detail: string, times = 1): void {
    const known = this.#byCode.get(code);
    if (known === undefined) this.#byCode.set(code, { count: times, text: detail });
    else known.count += times;
  }

  get total(): number {
    let total = 0;
    for (const { count } of this.#byCode.values()) total += count;
    return total;
  }

  /** Begins anew. */
  clear(): void {
    this.#byCode.clear();
  }

  /** The most frequent first. */
  figures(): ErrorFigures[] {
    const rows = [...this.#byCode].map(([code, { count, text }]) => ({ code, count, text }));
    return rows.sort((a, b) => b.count - a.count);
  }
}

/** Those of several threads or stages together. */
export function mergeErrors(parts: readonly (readonly ErrorFigures[])[]): ErrorFigures[] {
  const all = new ErrorCounts();
  for (const { code, text, count } of parts.flat()) all.count(code, text, count);
  return all.figures();
}

/** What a code means, with what is known of this error: "connection reset by the peer: 3 messages unanswered". */
export function errorText(meaning: string, detail: string): string {
  return detail === "" ? meaning : `${meaning}: ${detail}`;
}

export function ownErrorText(code: keyof typeof ERROR_TEXTS, detail = ""): string {
  return errorText(ERROR_TEXTS[code], detail);
}

export function errnoDetail(errno: number, detail = ""): string {
  return errorText(errnoText(errno), detail);
}
