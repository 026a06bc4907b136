// What a peer did wrong: it ends the connection, with the code that GOAWAY carries.

import { GOAWAY, nameOf } from "./codes.ts";

export class WireError extends Error {
  override readonly name = "WireError";
  /** One of GOAWAY. */
  readonly goaway: number;
  /** The code's name: `PROTOCOL`, `FRAME_SIZE`, … */
  readonly code: string;

  constructor(goaway: number, message: string) {
    super(message);
    this.goaway = goaway;
    this.code = nameOf(GOAWAY, goaway);
  }
}

/** The peer broke a rule of the protocol. */
export function protocolError(message: string): WireError {
  return new WireError(GOAWAY.PROTOCOL, message);
}
