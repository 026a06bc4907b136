// What a behaviour is: a sentence, what it needs, and a run on a stage of its own.

import { it } from "node:test";
import type { DriverCapabilities } from "../../src/driver/driver.ts";
import type { Host } from "./host.ts";
import { Stage, type StageOptions } from "./stage.ts";

export interface Needs extends StageOptions {
  /** Skipped without these capabilities of the driver… */
  readonly needs?: readonly (keyof DriverCapabilities)[];
  /** …or with them: what is said of drivers that cannot. */
  readonly without?: keyof DriverCapabilities;
  readonly network?: keyof Host["network"];
  /** Needs a descriptor to wake it with. */
  readonly wakeDescriptor?: true;
}

/** Proves one sentence about a driver. */
export type Behave = (sentence: string, run: Behaviour, needs?: Needs) => void;

export type Behaviour = (stage: Stage) => Promise<void>;

/** Makes each behaviour a test on this host's driver, skipped with the reason where it cannot be one. */
export function behaveOn(host: Host): Behave {
  return (sentence, run, needs = {}) => {
    it(sentence, { skip: reasonToSkip(host, needs) ?? false }, () => perform(host, run, needs));
  };
}

function reasonToSkip(host: Host, needs: Needs): string | undefined {
  if (host.refused !== undefined) return host.refused;
  for (const capability of needs.needs ?? []) {
    if (!host.capabilities[capability]) return `the ${host.driver} driver lacks: ${capability}`;
  }
  if (needs.without !== undefined && host.capabilities[needs.without]) {
    return `said of drivers without: ${needs.without}`;
  }
  if (needs.network !== undefined && !host.network[needs.network]) {
    return `this host's network lacks: ${needs.network}`;
  }
  if (needs.wakeDescriptor && !host.capabilities.descriptors) {
    return `the ${host.driver} driver has no descriptor to signal`;
  }
  return undefined;
}

/** Runs something on a stage of its own, and shows that nothing is left of it. */
export async function perform(
  host: Host,
  run: Behaviour,
  options: StageOptions = {},
): Promise<void> {
  const stage = new Stage(host, options);
  try {
    await run(stage);
    await stage.finish();
  } catch (error) {
    stage.abandon();
    throw error;
  }
}
