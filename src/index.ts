// The public face of Sluice: everything a program imports from "sluice".

export { type Codec, DecodeError, type Decoder, type Input, type Output } from "./codec/codec.ts";
export { type CloseReason, type Connection, type Handlers, handlers } from "./handlers.ts";
export { LIMITS, type Limits, OptionError } from "./limits.ts";
export { DriverRefusedError } from "./driver/choose-driver.ts";
export type { ServeOptions } from "./server/options.ts";
export { type CloseOptions, type Server, serve } from "./server/serve.ts";
export type { Statistics } from "./server/statistics.ts";
export { type Address, formatAddress } from "./sys/address.ts";
export { SystemError } from "./sys/errno.ts";
export type { KeepAlive, SocketOptions, TcpInfo } from "./sys/socket-calls.ts";
