// What all benchmarks have in common as commands: --help prints what stands at their head, and a wrong option is told in a
// line, with exit code 2.
import { readFileSync } from "node:fs";

/** To be called first, with the command's own `import.meta.url`. */
export function command(url: string): void {
  if (process.argv.includes("--help")) {
    console.log(headOf(readFileSync(new URL(url), "utf8")));
    process.exit(0);
  }
  // Each server and load that runs has a listener of its own, so that it ends with this process: in a round they are many.
  process.setMaxListeners(0);
  process.once("uncaughtException", (error: NodeJS.ErrnoException) => {
    const isWrongUse = error instanceof RangeError || error.code?.startsWith("ERR_PARSE_ARGS");
    console.error(isWrongUse ? `${error.message}\n--help tells what there is.` : error);
    process.exit(isWrongUse ? 2 : 1);
  });
}

function headOf(source: string): string {
  const lines = source.split("\n");
  const end = lines.findIndex((line) => !line.startsWith("//"));
  return lines
    .slice(0, end)
    .map((line) => line.replace(/^\/\/ ?/, ""))
    .join("\n");
}
