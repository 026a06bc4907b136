// What calls are compared with: the same reactor, echoing frames behind their length.

import { handlers, lengthPrefix } from "../../src/index.ts";

export default handlers({
  codec: lengthPrefix({ header: "u32" }),
  message(connection, message) {
    connection.send(message);
  },
});
