// The io_uring driver keeps the contract, or says why this machine refuses it.

import { driverConformance } from "./conformance.ts";
import { nativeHost } from "./real-hosts.ts";

driverConformance(nativeHost("io_uring"));
