// Says which of Node's own modules its thread has loaded.

import { lines } from "../../../src/codec/lines.ts";
import { handlers } from "../../../src/handlers.ts";

export default handlers({
  codec: lines(),
  message(connection) {
    const loaded: unknown = Reflect.get(process, "moduleLoadList");
    connection.send(Array.isArray(loaded) ? loaded.join(",") : "not known");
  },
});
