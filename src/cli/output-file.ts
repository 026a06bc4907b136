// Files that a command writes at its end: whether it can is found out before its work, not after it.

import { closeSync, existsSync, openSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { UsageError } from "./command.ts";

/** Changes nothing. @throws UsageError for a file that cannot be written */
export function needWritable(file: string): void {
  const folder = dirname(file);
  if (!existsSync(folder)) throw new UsageError(`there is no folder ${folder}`);
  const there = existsSync(file);
  if (there && statSync(file).isDirectory()) throw new UsageError(`${file} is a directory`);
  // Opening a pipe or a terminal says nothing, and may wait for its reader.
  if (there && !statSync(file).isFile()) return;
  try {
    closeSync(openSync(file, "a"));
    if (!there) rmSync(file);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new UsageError(`${file} cannot be written: ${code}`);
  }
}
