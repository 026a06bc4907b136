// lethal.ts whose thread ends while one of its connections is leaving it: no slot has its descriptor any more.

import { handlers } from "../../../src/handlers.ts";
import lethal from "./lethal.ts";

export default handlers<string, string>({
  ...lethal,
  departed() {
    process.exit(3);
  },
});
