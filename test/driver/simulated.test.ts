import { HARMLESS_FAULTS } from "../../src/driver/simulated-faults.ts";
import { driverConformance } from "./conformance.ts";
import { SimulatedHost } from "./simulated-host.ts";

driverConformance(new SimulatedHost("simulated", 1));
for (const seed of [2, 3, 4]) {
  const title = `simulated, everything late and in pieces, seed ${seed}`;
  driverConformance(new SimulatedHost(title, seed, HARMLESS_FAULTS));
}
