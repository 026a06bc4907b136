// Section 9 from outside: a session that is cut and comes back. Each check has a session of its own, and its own topic.
//
// The twist: nothing has to be lost on the way to see what is sent again. The tester reads everything, and says on its return
// that it has less (last_seq).

import { randomBytes } from "node:crypto";
import { FLAG, GOAWAY, HELLO_KEY, PING_ACK } from "../protocol/codes.ts";
import type { FrameDescription } from "../protocol/describe-frame.ts";
import { describe, type Target, Unmet } from "./conform-peer.ts";
import type { Check } from "./conform-report.ts";
import { type Secret, SessionPeer } from "./conform-session-peer.ts";

const GROUP = "resumption";
const RULES: Readonly<Record<string, (tester: Tester) => Promise<void>>> = {
  "WELCOME has an id of 16 bytes and a secret of 32": welcomeHasBoth,
  "shown with its secret a session goes on: the same id, a new secret": goesOn,
  "a PING stands behind the WELCOME of a resumption": asksForProof,
  "a wrong secret gets another session, and takes none away": wrongSecret,
  "an unknown id gets another session": unknownId,
  "the secret that was shown is taken again as long as nothing proves that WELCOME was read":
    shownAgain,
  "a secret that was used is worthless once a PING behind its WELCOME was answered": usedUpByPing,
  "a secret that was used is worthless once a connection that showed it has acknowledged":
    usedUpByAck,
  "a connection whose session is resumed elsewhere gets GOAWAY SESSION_REPLACED": replaced,
  "what is beyond last_seq is sent again, in order": sentAgain,
  "what was published during the cut comes after it, and what last_seq names does not": meanwhile,
  "a message with SEQ is acknowledged": acknowledged,
  "what has come is named by last_seq, and dropped when it comes again": dropped,
};

export function resumptionChecks(target: Target): Check[] {
  return Object.entries(RULES).map(([rule, run]) => ({
    group: GROUP,
    rule: `section 9: ${rule}`,
    async run() {
      const tester = new Tester(target);
      try {
        await run(tester);
      } finally {
        tester.close();
      }
    },
  }));
}

/** All connections of one check. */
class Tester {
  readonly #target: Target;
  readonly #peers: SessionPeer[] = [];

  constructor(target: Target) {
    this.#target = target;
  }

  /** A connection with a new session, or with one that is shown. */
  async begin(session?: Secret): Promise<SessionPeer> {
    const peer = await SessionPeer.begin(this.#target, session);
    this.#peers.push(peer);
    return peer;
  }

  /** A new session, whose connection is gone. */
  async cutOff(): Promise<Secret> {
    const session = await this.begin();
    session.close();
    return session;
  }

  async resumed(session: Secret): Promise<SessionPeer> {
    const back = await this.begin(session);
    if (back.id.equals(session.id)) return back;
    throw new Unmet("the session is shown with its secret, and another one is given");
  }

  async refused(session: Secret, what: string): Promise<void> {
    const back = await this.begin(session);
    back.close();
    if (back.id.equals(session.id)) throw new Unmet(`${what} is taken`);
  }

  close(): void {
    for (const peer of this.#peers) peer.close();
  }
}

// Who may go on.

async function welcomeHasBoth(tester: Tester): Promise<void> {
  const { id, secret } = await tester.cutOff();
  if (id.length !== 16 || secret.length !== 32) {
    throw new Unmet(`they have ${id.length} and ${secret.length} bytes`);
  }
}

async function goesOn(tester: Tester): Promise<void> {
  const shown = await tester.cutOff();
  const back = await tester.resumed(shown);
  if (back.secret.equals(shown.secret)) throw new Unmet("the secret is the one that was shown");
  for (const [name, key] of [
    ["last_seq", HELLO_KEY.LAST_SEQ],
    ["replay_to", HELLO_KEY.REPLAY_TO],
  ] as const) {
    if (back.number(key) === undefined) throw new Unmet(`WELCOME has no ${name}`);
  }
}

async function asksForProof(tester: Tester): Promise<void> {
  const back = await tester.resumed(await tester.cutOff());
  const before = await back.untilAnswered();
  if (!before.some(isQuestion)) throw new Unmet("a PING of the tester's is answered before it");
}

async function wrongSecret(tester: Tester): Promise<void> {
  const session = await tester.cutOff();
  await tester.refused({ ...session, secret: randomBytes(32) }, "a wrong secret");
  await tester.resumed(session);
}

async function unknownId(tester: Tester): Promise<void> {
  const session = await tester.cutOff();
  await tester.refused({ ...session, id: randomBytes(16) }, "an unknown id");
}

async function shownAgain(tester: Tester): Promise<void> {
  const shown = await tester.cutOff();
  for (let time = 0; time < 3; time++) (await tester.resumed(shown)).close();
}

function usedUpByPing(tester: Tester): Promise<void> {
  return usedUp(tester, async (back) => {
    const before = await back.untilAnswered();
    const question = before.find(isQuestion) ?? (await back.frameThat(isQuestion, "a PING"));
    back.answer(question);
  });
}

function usedUpByAck(tester: Tester): Promise<void> {
  return usedUp(tester, async (back) => back.acknowledge(0));
}

async function usedUp(tester: Tester, prove: (back: SessionPeer) => Promise<void>): Promise<void> {
  const shown = await tester.cutOff();
  const back = await tester.resumed(shown);
  await prove(back);
  await back.untilAnswered();
  back.close();
  await tester.refused(shown, "a used secret");
  await tester.resumed(back);
}

async function replaced(tester: Tester): Promise<void> {
  const session = await tester.begin();
  await tester.resumed(session);
  const last = await session.frameThat(({ frame }) => frame === "GOAWAY", "a GOAWAY");
  if (last.code !== GOAWAY.SESSION_REPLACED) {
    throw new Unmet(`expected GOAWAY ${GOAWAY.SESSION_REPLACED}, got ${describe(last)}`);
  }
}

// What is owed.

async function sentAgain(tester: Tester): Promise<void> {
  const { session, other, topic } = await subscribed(tester);
  const seqs: number[] = [];
  for (const body of ["a", "b", "c"]) {
    await other.publish(topic, body);
    seqs.push(Number((await session.message()).seq));
  }
  session.close();
  const back = await tester.resumed({ ...session, received: seqs[0] ?? 0 });
  const [second, third] = [await back.message(), await back.message()];
  if (second.body !== hex("b") || third.body !== hex("c")) {
    throw new Unmet(`after ${seqs[0]} came ${second.seq} and ${third.seq}`);
  }
  for (const again of [second, third]) {
    if ((again.flags & FLAG.SEQ) === 0) throw new Unmet("a message without SEQ");
  }
}

async function meanwhile(tester: Tester): Promise<void> {
  const { session, other, topic } = await subscribed(tester);
  await other.publish(topic, "a");
  const first = await session.message();
  session.close();
  await other.publish(topic, "b");
  const back = await tester.resumed({ ...session, received: Number(first.seq) });
  const next = await back.message();
  if (next.body !== hex("b")) throw new Unmet(`after ${first.seq} came ${next.seq}`);
}

async function acknowledged(tester: Tester): Promise<void> {
  const session = await tester.begin();
  session.announce(1, ownTopic(), "a");
  const ack = await session.frameThat(({ frame }) => frame === "ACK", "an ACK");
  if (ack.seq !== 1) throw new Unmet(`the message had the number 1, and ACK says ${ack.seq}`);
}

async function dropped(tester: Tester): Promise<void> {
  const { session: other, other: third, topic } = await subscribed(tester);
  // Nobody answers an announcement: whether the server allows it is asked with a publication.
  await third.publish(topic, "allowed");
  await other.message();
  const session = await tester.begin();
  session.announce(1, topic, "a");
  await other.message();
  session.close();
  const back = await tester.resumed({ ...session, sent: 1 });
  const has = back.number(HELLO_KEY.LAST_SEQ);
  if (has !== 1) throw new Unmet(`WELCOME's last_seq is ${has}, and 1 has come`);
  back.announce(1, topic, "a");
  back.announce(2, topic, "b");
  const next = await other.message();
  if (next.body !== hex("b")) throw new Unmet("what came twice was published twice");
}

/** Two connections: a session with a subscription on stream 1, and somebody who publishes. */
async function subscribed(tester: Tester) {
  const [session, other] = [await tester.begin(), await tester.begin()];
  const topic = ownTopic();
  await session.subscribe(topic);
  return { session, other, topic };
}

function ownTopic(): string {
  return `sluice.conform.${randomBytes(8).toString("hex")}`;
}

function hex(text: string): string {
  return Buffer.from(JSON.stringify(text)).toString("hex");
}

function isQuestion({ frame, flags }: FrameDescription): boolean {
  return frame === "PING" && (flags & PING_ACK) === 0;
}
