// What `sluice serve` serves when it is given no file.

import { handlers } from "../handlers.ts";

export default handlers({
  message(connection, bytes) {
    connection.write(bytes);
  },
});
