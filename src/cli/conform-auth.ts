// Whether a token is asked for, and looked at: what can be found out with one that is good.

import { Buffer } from "node:buffer";
import { AUTH_METHOD, GOAWAY, GOAWAY_KEY } from "../protocol/codes.ts";
import { encodeAuth } from "../protocol/connection-frames.ts";
import { FrameWriter } from "../protocol/frame-writer.ts";
import { prefaceAndHello } from "./conform-hello.ts";
import {
  ConformPeer,
  type Described,
  describe,
  type Target,
  tlvOf,
  Unmet,
} from "./conform-peer.ts";
import { type Check, Skipped } from "./conform-report.ts";

const NO_TOKEN = "needs --token T";

export function authChecks(target: Target): Check[] {
  const { token } = target;
  // Asked once: who tries without a token again and again has to wait somewhere.
  let strangers: Promise<boolean> | undefined;
  const rules: Readonly<Record<string, (good: string) => Promise<void>>> = {
    "a wrong token in HELLO is GOAWAY AUTH with the methods that would do": (good) =>
      wrongInHello(target, good),
    "a good token in READY is answered with nothing": (good) => goodInReady(target, good),
    "a wrong token in READY is GOAWAY AUTH": (good) => wrongInReady(target, good),
  };
  return Object.entries(rules).map(([rule, run]) => ({
    group: "auth",
    rule: `section 3: ${rule}`,
    skip: token === undefined ? NO_TOKEN : undefined,
    async run() {
      strangers ??= letsStrangersIn(target);
      if (await strangers) throw new Skipped("the server lets strangers in");
      await run(token ?? "");
    },
  }));
}

async function wrongInHello(target: Target, good: string): Promise<void> {
  const peer = await ConformPeer.connect(target);
  try {
    peer.send(prefaceAndHello(wrong(good)));
    const methods = tlvOf(needRefusal(await peer.frame()), GOAWAY_KEY.AUTH_METHODS);
    if (methods?.includes(AUTH_METHOD.TOKEN) !== true) {
      throw new Unmet("its TLV 8 does not name the method token");
    }
  } finally {
    peer.close();
  }
}

async function goodInReady(target: Target, good: string): Promise<void> {
  const { peer } = await ConformPeer.greeted(target);
  try {
    peer.send(refreshed(good));
    const [frame] = await peer.untilAnswered();
    if (frame !== undefined) throw new Unmet(`got ${describe(frame)}`);
  } finally {
    peer.close();
  }
}

async function wrongInReady(target: Target, good: string): Promise<void> {
  const { peer } = await ConformPeer.greeted(target);
  try {
    peer.send(refreshed(wrong(good)));
    needRefusal(await peer.frame());
  } finally {
    peer.close();
  }
}

async function letsStrangersIn(target: Target): Promise<boolean> {
  const peer = await ConformPeer.connect(target);
  try {
    peer.send(prefaceAndHello(undefined));
    return (await peer.frame())?.frame === "WELCOME";
  } finally {
    peer.close();
  }
}

function needRefusal(frame: Described) {
  if (frame?.frame === "GOAWAY" && frame.code === GOAWAY.AUTH) return frame;
  throw new Unmet(`expected GOAWAY ${GOAWAY.AUTH}, got ${describe(frame)}`);
}

function wrong(good: string): string {
  return `${good}, or not`;
}

function refreshed(token: string): Buffer {
  const writer = new FrameWriter();
  encodeAuth(writer, { method: AUTH_METHOD.TOKEN, step: 0, data: Buffer.from(token) });
  return Buffer.from(writer.bytes.subarray(0, writer.end));
}
