import { driverConformance } from "./conformance.ts";
import { nativeHost } from "./real-hosts.ts";

driverConformance(nativeHost("io_uring"));
