// Echo: every byte comes back. Serve it with `npx sluice serve examples/echo.ts`, talk to it with `nc`.

import { handlers } from "../src/index.ts";

export default handlers({
  message(connection, bytes) {
    connection.write(bytes);
  },
});
