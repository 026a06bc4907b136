// What becomes of a command whose output nobody reads any more: `sluice sub … | head -1`.
//
// A write to a pipe without a reader fails (EPIPE; Node ignores SIGPIPE). A command whose output is its purpose ends with that,
// quietly, as other programs do. A server does not: its clients are none of the reader's business.

/** As shells have it: 128 and the number of SIGPIPE. */
const EXIT_NO_READER = 141;

/** From here on nothing that is written and not taken throws. */
export function watchOutput(outlivesReader: boolean): void {
  process.stdout.on("error", (error) => {
    if (!outlivesReader) end(error);
  });
  process.stderr.on("error", () => undefined);
}

function end(error: Error): void {
  if ("code" in error && error.code === "EPIPE") process.exit(EXIT_NO_READER);
  // A full disk, say: what was asked for is not there.
  console.error(`sluice: standard output: ${error.message}`);
  process.exit(1);
}
