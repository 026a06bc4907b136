// The workloads by their names: what each says, and how it is made.

import { echo } from "./echo.ts";
import { http } from "./http.ts";
import { lengthPrefix } from "./length-prefix.ts";
import { lines } from "./lines.ts";
import { resp } from "./resp.ts";
import { scenarioWorkload } from "./scenario.ts";
import { swp, swpPublish } from "./swp.ts";
import type { Workload, WorkloadContext } from "./workload.ts";

export const WORKLOADS = [
  "echo",
  "lines",
  "length-prefix",
  "resp",
  "http",
  "swp",
  "swp-publish",
  "scenario",
] as const;
export type WorkloadName = (typeof WORKLOADS)[number];

export interface WorkloadKind {
  /** For people. */
  readonly summary: string;
  /** Size of messages when none is asked for; undefined where sizes mean nothing. */
  readonly defaultSize: string | undefined;
  make(context: WorkloadContext): Workload | Promise<Workload>;
}

const KINDS: Readonly<Record<WorkloadName, WorkloadKind>> = {
  echo: { summary: "bytes that must come back as they are", defaultSize: "64", make: echo },
  lines: { summary: "lines that must come back", defaultSize: "64", make: lines },
  "length-prefix": {
    summary: "frames behind a four-byte length that must come back",
    defaultSize: "64",
    make: lengthPrefix,
  },
  resp: {
    summary: "Redis: PING, SET and GET, 1 : 3 : 6, over 1000 keys",
    defaultSize: "64",
    make: resp,
  },
  http: { summary: "HTTP/1.1 GET of --path, kept alive", defaultSize: undefined, make: http },
  swp: {
    summary: "SWP/1: calls of the route echo with raw bodies that must come back",
    defaultSize: "32",
    make: swp,
  },
  "swp-publish": {
    summary: "SWP/1: publications on the topic load, acknowledged",
    defaultSize: "32",
    make: swpPublish,
  },
  scenario: {
    summary: "a module of your own: --scenario FILE",
    defaultSize: undefined,
    make: scenarioWorkload,
  },
};

export function workloadKind(name: WorkloadName): WorkloadKind {
  return KINDS[name];
}
