// lethal.ts, whose threads are not replaced: whoever starts after the first two never gets to listen.

import { handlers } from "../../../src/handlers.ts";
import lethal from "./lethal.ts";

export default handlers<string, string>({
  ...lethal,
  async started({ counter }) {
    if (counter("starts").add() > 2) await new Promise(() => undefined);
  },
});
