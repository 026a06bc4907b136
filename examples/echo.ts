// Echo: every byte comes back. Serve it with `npm run sluice -- serve examples/echo.ts`, talk to it with `nc 127.0.0.1 7000`.

import { handlers } from "../src/index.ts";

export default handlers({
  message(connection, bytes) {
    connection.write(bytes);
  },
});
