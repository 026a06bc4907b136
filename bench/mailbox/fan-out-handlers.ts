// Everybody who connects is subscribed to the one topic; what is published comes from the thread that serves.

import { handlers } from "../../src/index.ts";

export default handlers({
  opened: (connection) => void connection.subscribe("all"),
  message: () => undefined,
});
