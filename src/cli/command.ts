// What a command of the CLI is, and how it fails: one clear line, exit code 2 for wrong usage, 1 for everything else.

/** A mistake on the command line. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export interface Command {
  readonly name: string;
  /** For the list in `sluice --help`. */
  readonly summary: string;
  readonly help: string;
  /** Goes on when nobody reads its output any more; others end then. */
  readonly outlivesReader?: boolean;
  /** Resolves with the process's exit code. */
  run(args: readonly string[]): Promise<number>;
}

/** An integer option. @throws UsageError */
export function integerOption(
  name: string,
  value: string | undefined,
  minimum: number,
  maximum: number,
): number | undefined {
  if (value === undefined) return undefined;
  const number = Number(value);
  if (/^\d+$/.test(value) && number >= minimum && number <= maximum) return number;
  throw new UsageError(`--${name} takes an integer from ${minimum} to ${maximum}, not "${value}"`);
}

/** One of several words. @throws UsageError */
export function choiceOption<Choice extends string>(
  name: string,
  value: string | undefined,
  choices: readonly Choice[],
): Choice | undefined {
  if (value === undefined) return undefined;
  const found = choices.find((choice) => choice === value);
  if (found !== undefined) return found;
  throw new UsageError(`--${name} takes ${choices.join(", ")}, not "${value}"`);
}
