import { driverConformance } from "./conformance.ts";
import { portableHost } from "./real-hosts.ts";

driverConformance(portableHost());
