// A service that lets in who has the token, or the password of the one user there is.

import {
  anything,
  call,
  scram,
  scramSecret,
  service,
  token,
} from "../../../src/service/service.ts";

const ann = { secret: scramSecret("open, sesame"), identity: "ann" };

export default service(
  { who: call(anything, anything, (_input, { identity }) => identity) },
  {
    auth: [
      token((secret) => (secret === "let me in" ? "operator" : undefined)),
      scram((user) => (user === "ann" ? ann : undefined)),
    ],
  },
);
