// What becomes of a command whose output nobody reads any more: `sluice sub … | head -1`.
//
// A write to a pipe without a reader fails (EPIPE; Node ignores SIGPIPE). A command whose output is its purpose ends with that,
// quietly, as other programs do. A server does not: its clients are none of the reader's business.

/** As shells have it: 128 and the number of SIGPIPE. */
const EXIT_NO_READER = 141;

/** From here on nothing that is written and not read throws. */
export function watchOutput(outlivesReader: boolean): void {
  const end = () => process.exit(EXIT_NO_READER);
  process.stdout.on("error", (error) => unread(error, outlivesReader ? undefined : end));
  process.stderr.on("error", (error) => unread(error, undefined));
}

function unread(error: Error, end: (() => void) | undefined): void {
  if (!("code" in error) || error.code !== "EPIPE") throw error;
  end?.();
}
