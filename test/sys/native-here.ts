// Where the raw calls can be tested: on Linux with node:ffi. Elsewhere the tests of sys are skipped with the reason; in CI
// a skip would hide a mistake, so there it is an error.

import { UringRing } from "../../src/driver/uring-ring.ts";
import { errnoName } from "../../src/sys/errno.ts";
import { nativeRefusal } from "../../src/sys/native-library.ts";

const refused = nativeRefusal();
if (refused !== undefined && process.env.CI === "true")
  throw new Error(`sys is untested: ${refused}`);

/** For `describe`'s `skip`: false, or why. */
export const NO_NATIVE: string | false = refused ?? false;

/** As NO_NATIVE, for what needs io_uring: a host may forbid it and be sound. */
export const NO_RING: string | false = NO_NATIVE === false ? ringRefusal() : NO_NATIVE;

function ringRefusal(): string | false {
  const ring = UringRing.open(64);
  if (typeof ring === "number") return `io_uring is refused: ${errnoName(ring)}`;
  ring.close();
  return false;
}
