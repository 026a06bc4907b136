// Whether two results say something about each other: the same load, on the same machine, without errors.

import { type LoadResult, type Machine, type PlanFigures, RESULT_SCHEMA } from "./result.ts";

export interface NamedResult {
  /** Where it is from: a file's name. */
  readonly name: string;
  readonly result: LoadResult;
}

/** What may differ: where it went, who was drawn, and for how long. */
const FREE_OF_PLAN: readonly (keyof PlanFigures)[] = [
  "target",
  "seed",
  "warmUpMs",
  "durationMs",
  "coolDownMs",
  "timeoutMs",
];

/** Reasons why they cannot be compared, for people; empty when they can. */
export function whyIncomparable(all: readonly NamedResult[]): string[] {
  const unknown = all.flatMap(({ name, result }) => schemaProblem(name, result));
  if (unknown.length > 0) return unknown;
  const alone = all.flatMap(({ name, result }) => unfit(name, result));
  const [first, ...others] = all;
  if (first === undefined) return ["nothing to compare"];
  return [...alone, ...others.flatMap((other) => differences(first, other))];
}

function schemaProblem(name: string, result: LoadResult): string[] {
  const schema: unknown = typeof result === "object" ? result?.schema : undefined;
  if (schema === RESULT_SCHEMA) return [];
  return [`${name} is no ${RESULT_SCHEMA}, but ${JSON.stringify(schema) ?? "something else"}`];
}

/** What makes a result unfit for any comparison. */
function unfit(name: string, result: LoadResult): string[] {
  if (result.findMax !== null) {
    return [`${name} is a search, whose stages have rates of their own: compare runs at one rate`];
  }
  if (result.plan.mode === "idle") return [`${name} has no times: its connections were idle`];
  if (result.interrupted) return [`${name} was interrupted`];
  return result.stages.flatMap(({ errors }) =>
    errors.map(({ code, count }) => `${name} has errors (${count} × ${code})`),
  );
}

function differences(first: NamedResult, other: NamedResult): string[] {
  const planNames = Object.keys(first.result.plan) as (keyof PlanFigures)[];
  const machineNames = Object.keys(first.result.machine) as (keyof Machine)[];
  return [
    ...planNames
      .filter((name) => !FREE_OF_PLAN.includes(name))
      .flatMap((name) =>
        differs(name, first.name, first.result.plan[name], other.name, other.result.plan[name]),
      ),
    ...machineNames.flatMap((name) =>
      differs(
        `the machine's ${name}`,
        first.name,
        first.result.machine[name],
        other.name,
        other.result.machine[name],
      ),
    ),
    ...differs("the rates", first.name, rates(first.result), other.name, rates(other.result)),
  ];
}

function rates({ stages }: LoadResult): string {
  return stages.map(({ wantedRate }) => wantedRate).join(", ");
}

function differs(what: string, from: string, a: unknown, to: string, b: unknown): string[] {
  return a === b ? [] : [`${what} differs: ${String(a)} in ${from}, ${String(b)} in ${to}`];
}
