// The numbers that differ between architectures, for the one that this process runs on.

import { ABI, type ArchitectureAbi } from "./abi.ts";
import { nativeArchitecture } from "./platform.ts";

/** @throws Error where there are no native calls, with the reason */
export function nativeAbi(): ArchitectureAbi {
  const architecture = nativeArchitecture();
  if (typeof architecture === "object") throw new Error(architecture.refused);
  return ABI[architecture];
}
