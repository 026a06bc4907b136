// Which platform this is, asked once and answered with a reason where the raw drivers cannot run.

export type Architecture = "x64" | "arm64";

/** The architecture the raw drivers know the ABI of, or why they cannot run here. */
export function nativeArchitecture(): Architecture | { readonly refused: string } {
  if (process.platform !== "linux") {
    return { refused: `needs Linux, this is ${process.platform}` };
  }
  if (process.arch !== "x64" && process.arch !== "arm64") {
    return { refused: `needs x64 or arm64, this is ${process.arch}` };
  }
  return process.arch;
}
