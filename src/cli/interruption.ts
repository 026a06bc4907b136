// How a run of the lab is interrupted: with what there is so far, and not with nothing.

/** Aborted by the first Ctrl-C or SIGTERM, which ends the run with what there is; the second one is not caught. */
export function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => controller.abort());
  return controller.signal;
}
