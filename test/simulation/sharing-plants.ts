// Bugs planted in how reactors share a listener: each could really be written, and each leaves connections to nobody, or to
// somebody who should not have them.

import { SimulatedListener } from "../../src/driver/simulated-listener.ts";
import { SimulatedNetwork } from "../../src/driver/simulated-network.ts";
import { Acceptor } from "../../src/reactor/acceptor.ts";
import { Reactor } from "../../src/reactor/reactor.ts";
import { everyNth, replaced } from "./planting.ts";

export interface SharingPlant {
  readonly name: string;
  /** Plants it; what is returned takes it out. */
  readonly plant: () => () => void;
}

export const SHARING_PLANTS: readonly SharingPlant[] = [
  {
    name: "nobody looks again when a reactor has died or retired",
    plant: replaced(Acceptor.prototype, "lookAgain", () => {
      return () => {};
    }),
  },
  {
    name: "to look again is only to go on, and who has never stopped does not look",
    plant: replaced(Reactor.prototype, "lookAgain", () => {
      return function () {
        this.driver.wake();
      };
    }),
  },
  {
    name: "a reactor that ends closes the listener that it shares",
    plant: replaced(SimulatedListener.prototype, "leave", (leave) => {
      return function (taker) {
        leave.call(this, taker);
        this.close();
      };
    }),
  },
  {
    name: "accepting does not go on when a connection has closed",
    plant: replaced(Acceptor.prototype, "dismissed", (dismissed) => {
      return function (address) {
        dismissed.call(this, address, Number.POSITIVE_INFINITY);
      };
    }),
  },
  {
    name: "accepting is not tried again after it has failed",
    plant: replaced(Acceptor.prototype, "retry", () => {
      return () => {};
    }),
  },
  {
    name: "a reactor that drains goes on accepting",
    plant: replaced(Acceptor.prototype, "close", () => {
      return () => {};
    }),
  },
  {
    name: "what has been accepted is forgotten, now and then",
    plant: replaced(Reactor.prototype, "accepted", (accepted) => {
      const forgets = everyNth(10);
      return function (listener, result) {
        if (result < 0 || !forgets()) accepted.call(this, listener, result);
      };
    }),
  },
  {
    name: "the descriptor of a dead thread's connection is left open, now and then",
    plant: replaced(SimulatedNetwork.prototype, "closeDescriptor", (closeDescriptor) => {
      const forgets = everyNth(3);
      return function (descriptor) {
        return this.listenerOf(descriptor) === undefined && forgets()
          ? 0
          : closeDescriptor.call(this, descriptor);
      };
    }),
  },
];
