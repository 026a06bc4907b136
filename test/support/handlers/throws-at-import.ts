// A handler module that cannot be loaded: it throws while it is imported.

import { handlers } from "../../../src/handlers.ts";

if (import.meta.url !== "") throw new Error("no good");

export default handlers({
  message() {
    throw new Error("never reached");
  },
});
