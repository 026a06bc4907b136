// The device gateway on a network that cuts every connection again and again: nothing is lost, nothing is doubled, and a
// dashboard that does not read harms nobody.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Device } from "../../examples/device-gateway/device.ts";
import { Fleet } from "../../examples/device-gateway/fleet.ts";
import { gateway } from "../../examples/device-gateway/gateway.ts";
import { client, type Gap } from "../../src/client/client.ts";
import { Child } from "../support/child.ts";
import { Cutter } from "../support/cutter.ts";
import { portOf, serveFor } from "../support/server.ts";
import { until, within } from "../support/until.ts";

const DEVICES = 8;
const REPORTS = 150;
const COMMANDS = 60;
const LEAST_CUTS = 200;

/** Takes readings as the gateway's own does, and keeps all of them. */
class Ledger extends Fleet {
  readonly taken = new Map<string, number[]>();

  override take(
    device: string,
    reading: { readonly metric: string; readonly value: number },
  ): void {
    super.take(device, reading);
    const values = this.taken.get(device) ?? [];
    values.push(reading.value);
    this.taken.set(device, values);
  }
}

/** 0, 1, 2, … */
const numbers = (count: number) => Array.from({ length: count }, (_, n) => n);

test("hundreds of cuts lose nothing and double nothing", async (t) => {
  const ledger = new Ledger();
  const server = await serveFor(t, gateway(ledger));
  const cutter = await Cutter.start(t, portOf(server));
  let seed = 7;
  cutter.nextCut = () => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return 500 + (seed % 1200);
  };
  const network = { port: cutter.port, backOff: { firstMs: 1, mostMs: 10 } };
  const obeyed = new Map<string, number[]>();
  const devices = numbers(DEVICES).map((n) => {
    const commands: number[] = [];
    obeyed.set(`device-${n}`, commands);
    return new Device(`device-${n}`, network, (command) => void commands.push(Number(command)));
  });
  const operator = client<ReturnType<typeof gateway>>({ ...network, retries: 100 });
  t.after(async () => {
    await Promise.all([operator.close(), ...devices.map((device) => device.stop())]);
  });
  const reporting = devices.map(async (device) => {
    for (const n of numbers(REPORTS)) await device.report("n", n);
  });
  const commanding = devices.map(async ({ id }) => {
    const options = { idempotencyKey: true, deadlineMs: 60_000 } as const;
    for (const n of numbers(COMMANDS)) {
      await operator.call("device.command", { device: id, command: String(n) }, options);
    }
  });
  await within(Promise.all([...reporting, ...commanding]), "every report and command");
  const all = () => [...obeyed.values()].every(({ length }) => length >= COMMANDS);
  await until(all, "every command at its device");
  t.diagnostic(`${cutter.cuts} cuts`);
  assert.ok(cutter.cuts >= LEAST_CUTS, `only ${cutter.cuts} cuts`);
  for (const { id } of devices) {
    assert.deepEqual(ledger.taken.get(id), numbers(REPORTS), `${id}: reports`);
    assert.deepEqual(obeyed.get(id), numbers(COMMANDS), `${id}: commands`);
  }
});

test("a dashboard sees the latest values, and one that does not read harms nobody", async (t) => {
  const server = await serveFor(t, gateway(new Fleet()));
  const at = { port: portOf(server) };
  const gaps: Gap[] = [];
  const [fast, slow] = [client(at), client(at)];
  const device = new Device("pump", at, () => undefined);
  t.after(() => Promise.all([fast.close(), slow.close(), device.stop()]));
  const seen: number[] = [];
  const watched = fast.subscribe<number>("reading.>", { slow: "latest" });
  const watching = (async () => {
    for await (const { body } of watched) seen.push(body);
  })();
  // It takes one message, and then looks away.
  const neglected = slow.subscribe<number>("reading.>", {
    slow: "latest",
    credit: 1,
    onGap: (gap) => gaps.push(gap),
  });
  await Promise.all([fast.connected(), slow.connected()]);
  await until(() => server.statistics().connections >= 3, "all connections");
  for (const n of numbers(500)) await device.report("pressure", n);
  await until(() => seen.at(-1) === 499, "the last value");
  watched.close();
  await watching;
  assert.ok(seen.length > 400, `the fast one saw ${seen.length}`);
  const first = (await neglected.next()).value?.body;
  const second = (await neglected.next()).value?.body;
  assert.ok(first !== undefined && first < 10, `first ${first}`);
  assert.equal(second, 499, "behind what it had not read comes the latest, and no backlog");
  assert.equal(gaps.length, 1);
  assert.equal(gaps[0]?.messages, 499 - first - 1);
});

test("on several threads it says that it is for one", async (t) => {
  const file = fileURLToPath(new URL("../../examples/device-gateway/gateway.ts", import.meta.url));
  const child = Child.cli(t, "serve", file, "--port", "0", "--threads", "2");
  assert.equal((await child.exit()).code, 1);
  assert.match(child.stderr, /live in one thread: start it with --model event-loop/);
});
