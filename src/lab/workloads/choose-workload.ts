// The workloads by their names: what each says, and how it is made.

import { echo } from "./echo.ts";
import type { Workload, WorkloadContext } from "./workload.ts";

export const WORKLOADS = ["echo"] as const;
export type WorkloadName = (typeof WORKLOADS)[number];

export interface WorkloadKind {
  /** For people. */
  readonly summary: string;
  /** Size of messages when none is asked for. */
  readonly defaultSize: string;
  make(context: WorkloadContext): Workload | Promise<Workload>;
}

const KINDS: Readonly<Record<WorkloadName, WorkloadKind>> = {
  echo: { summary: "bytes that must come back as they are", defaultSize: "64", make: echo },
};

export function workloadKind(name: WorkloadName): WorkloadKind {
  return KINDS[name];
}
