// The driver contract as behaviours: one function that runs them all on a driver, whatever it is made of.
//
// Each behaviour is a sentence about one thing. Every one of them also proves, through the stage it runs on, that no event
// came from inside a verb, that the events of each handle stood in an allowed order, and that nothing is left at
// the end. A driver that lacks a capability skips what needs it, and says so.

import { describe } from "node:test";
import { behaveOn } from "./behaviour.ts";
import { acceptingBehaviours } from "./behaviours/accepting.ts";
import { closingBehaviours } from "./behaviours/closing.ts";
import { connectingBehaviours } from "./behaviours/connecting.ts";
import { descriptorBehaviours } from "./behaviours/descriptors.ts";
import { endBehaviours } from "./behaviours/end.ts";
import { halfClosingBehaviours } from "./behaviours/half-closing.ts";
import { handleBehaviours } from "./behaviours/handles.ts";
import { keepingBehaviours } from "./behaviours/keeping.ts";
import { listeningBehaviours } from "./behaviours/listening.ts";
import { movingBehaviours } from "./behaviours/moving.ts";
import { optionBehaviours } from "./behaviours/options.ts";
import { receivingBehaviours } from "./behaviours/receiving.ts";
import { sendingBehaviours } from "./behaviours/sending.ts";
import { sendingNowBehaviours } from "./behaviours/sending-now.ts";
import { waitingBehaviours } from "./behaviours/waiting.ts";
import type { Host } from "./host.ts";

export function driverConformance(host: Host): void {
  const skip = host.refused === undefined ? false : `refused here: ${host.refused}`;
  describe(`driver conformance: ${host.title}`, { skip }, () => {
    const behave = behaveOn(host);
    describe("listening", () => listeningBehaviours(behave));
    describe("accepting", () => acceptingBehaviours(behave));
    describe("connecting", () => connectingBehaviours(behave));
    describe("receiving", () => receivingBehaviours(behave));
    describe("keeping what was received", () => keepingBehaviours(behave));
    describe("sending", () => sendingBehaviours(behave));
    describe("sending at once", () => sendingNowBehaviours(behave));
    describe("half-closing", () => halfClosingBehaviours(behave));
    describe("closing", () => closingBehaviours(behave));
    describe("handles", () => handleBehaviours(behave));
    describe("options", () => optionBehaviours(behave));
    describe("waiting", () => waitingBehaviours(behave));
    describe("moving", () => movingBehaviours(behave));
    describe("descriptors", () => descriptorBehaviours(behave));
    describe("the end", () => endBehaviours(behave));
  });
}
