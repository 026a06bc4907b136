// The blocking driver keeps the contract, or says why this machine refuses it.

import { driverConformance } from "./conformance.ts";
import { blockingHost } from "./real-hosts.ts";

driverConformance(blockingHost());
