// The public face of Sluice: everything a program imports from "sluice".

export { type ConnectOptions, connect } from "./client/connect.ts";
export { type Codec, DecodeError, type Decoder, type Input, type Output } from "./codec/codec.ts";
export { type DelimiterOptions, delimiter } from "./codec/delimiter.ts";
export { fixedSize } from "./codec/fixed-size.ts";
export { type LengthPrefixOptions, lengthPrefix } from "./codec/length-prefix.ts";
export { type LinesOptions, lines } from "./codec/lines.ts";
export type { MessageBytes } from "./codec/message-bytes.ts";
export { raw } from "./codec/raw.ts";
export { DriverRefusedError } from "./driver/choices.ts";
export {
  type CloseReason,
  type Connection,
  type Context,
  type Handlers,
  type Heavy,
  handlers,
  heavy,
  type SharedCounter,
  type SharedMap,
  type Tenure,
} from "./handlers.ts";
export { type Scenario, scenario } from "./lab/workloads/scenario.ts";
export { LIMITS, type Limits, OptionError } from "./limits.ts";
export type { ServeOptions } from "./server/options.ts";
export { SharedMapError } from "./server/owned-map.ts";
export { type CloseOptions, type Server, serve } from "./server/serve.ts";
export type { Statistics } from "./server/statistics.ts";
export {
  ThreadBlockedError,
  ThreadEndedError,
  type ThreadEndReason,
} from "./server/thread-ended.ts";
export { type Address, formatAddress } from "./sys/address.ts";
export { SystemError } from "./sys/errno.ts";
export type { KeepAlive, SocketOptions, TcpInfo } from "./sys/socket-calls.ts";
