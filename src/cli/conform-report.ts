// Checks of a server, a few at a time, and what came of each.

/** One rule, and the way to find out whether it is kept. */
export interface Check {
  readonly group: string;
  readonly rule: string;
  /** Why it cannot be found out here. */
  readonly skip?: string | undefined;
  /** @throws Unmet when it is not kept; Skipped when that cannot be found out */
  run(): Promise<void>;
}

/** It cannot be found out, for what the server says. */
export class Skipped extends Error {
  override readonly name = "Skipped";
}

export interface Outcome {
  readonly group: string;
  readonly rule: string;
  readonly result: "kept" | "broken" | "skipped";
  readonly why: string;
}

/** Runs all, at most so many at a time; tells each as soon as it is known, in order. */
export async function runChecks(
  checks: readonly Check[],
  atATime: number,
  tell: (outcome: Outcome) => void,
): Promise<void> {
  const outcomes: (Outcome | undefined)[] = [];
  let told = 0;
  let next = 0;
  const worker = async () => {
    for (let n = next++; n < checks.length; n = next++) {
      outcomes[n] = await outcomeOf(checks[n] as Check);
      for (let known = outcomes[told]; known !== undefined; known = outcomes[told]) {
        tell(known);
        told++;
      }
    }
  };
  await Promise.all(Array.from({ length: atATime }, worker));
}

async function outcomeOf({ group, rule, skip, run }: Check): Promise<Outcome> {
  if (skip !== undefined) return { group, rule, result: "skipped", why: skip };
  try {
    await run();
    return { group, rule, result: "kept", why: "" };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { group, rule, result: error instanceof Skipped ? "skipped" : "broken", why };
  }
}
