// The published test vectors, read from docs/vectors.

import { readFileSync } from "node:fs";

interface Frames {
  readonly name: string;
  readonly hex: string;
  readonly frames: readonly Record<string, unknown>[];
}

export interface FrameGroup {
  readonly group: string;
  readonly max_frame: number;
  readonly vectors: readonly (Frames & { readonly cuts?: readonly number[] })[];
}

export interface MalformedGroup {
  readonly max_frame: number;
  readonly vectors: readonly {
    readonly name: string;
    readonly hex: string;
    readonly error: number;
    readonly frames_before: number;
  }[];
}

export interface TopicGroup {
  readonly names: readonly {
    readonly name: string;
    readonly topic: string;
    readonly pattern: boolean;
    readonly publish: boolean;
  }[];
  readonly matches: readonly {
    readonly pattern: string;
    readonly topic: string;
    readonly matches: boolean;
  }[];
}

export function readVectors<Group>(name: string): Group {
  const file = new URL(`../../docs/vectors/${name}.json`, import.meta.url);
  const group: Group = JSON.parse(readFileSync(file, "utf8"));
  return group;
}
