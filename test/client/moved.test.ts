// A service that has moved, with two real servers: clients follow where their users allow it, and nowhere else; nothing that
// was acknowledged is lost, and no secret goes to whom it does not belong.

import assert from "node:assert/strict";
import type { Buffer } from "node:buffer";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { type TestContext, test } from "node:test";
import { type Client, client } from "../../src/client/client.ts";
import type { ClientOptions } from "../../src/client/client-options.ts";
import type { Gap } from "../../src/client/subscription.ts";
import { CallError } from "../../src/protocol/call-error.ts";
import { anything } from "../../src/protocol/schema.ts";
import type { Server } from "../../src/server/serve.ts";
import { moved } from "../../src/service/relocation.ts";
import { call } from "../../src/service/routes.ts";
import { service } from "../../src/service/service.ts";
import { decodeFast } from "../protocol/fast-decoder.ts";
import { Cutter } from "../support/cutter.ts";
import { portOf, serveFor } from "../support/server.ts";
import { until, within } from "../support/until.ts";

class Place {
  readonly server: Server;
  readonly executed: Map<unknown, number>;
  readonly #finish: (() => void)[];

  private constructor(server: Server, executed: Place["executed"], finish: (() => void)[]) {
    this.server = server;
    this.executed = executed;
    this.#finish = finish;
  }

  static async start(t: TestContext, name: string): Promise<Place> {
    const executed = new Map<unknown, number>();
    const finish: (() => void)[] = [];
    const routes = {
      where: call(anything, anything, (id) => {
        executed.set(id, (executed.get(id) ?? 0) + 1);
        return name;
      }),
      slow: call(anything, anything, async () => {
        await new Promise<void>((resolve) => finish.push(resolve));
        return name;
      }),
    };
    const server = await serveFor(t, service(routes, { authorize: () => true }));
    return new Place(server, executed, finish);
  }

  get address(): string {
    return `127.0.0.1:${portOf(this.server)}`;
  }

  /** Calls of `slow` that have not been answered. */
  get slow(): number {
    return this.#finish.length;
  }

  finish(): void {
    for (const one of this.#finish.splice(0)) one();
  }
}

function visitor(t: TestContext, to: Place, options: ClientOptions = {}): Client {
  const backOff = { firstMs: 1, mostMs: 20 };
  const api = client({ port: portOf(to.server), backOff, ...options });
  t.after(() => api.close());
  return api;
}

const where = (api: Client, id: unknown = 0) =>
  within(api.call("where" as never, id as never, { deadlineMs: 5000 }), "an answer");

test("what is in flight is finished here, everything else is done there", async (t) => {
  const [here, there] = [await Place.start(t, "here"), await Place.start(t, "there")];
  const api = visitor(t, here, { follow: [there.address] });
  const slow = api.call("slow" as never, 0 as never) as Promise<unknown>;
  await until(() => here.slow === 1, "a call in flight");
  const gaps: Gap[] = [];
  const news = api.subscribe<string>("news", { onGap: (gap) => void gaps.push(gap) });
  await api.publish("news", "before");
  assert.equal((await news.next()).value?.body, "before");
  here.server.broadcast(moved(there.address));
  await until(() => there.server.statistics().connections === 1, "a connection there");
  assert.equal(await where(api), "there");
  here.finish();
  assert.equal(await slow, "here");
  await until(() => here.server.statistics().connections === 0, "nobody here");
  await until(() => gaps.length === 1, "the gap to be told");
  let heard = false;
  const next = news.next().finally(() => {
    heard = true;
  });
  while (!heard) await api.publish("news", "after");
  assert.equal((await next).value?.body, "after");
  news.close();
});

test("under load each call is executed once, here or there", async (t) => {
  const [here, there] = [await Place.start(t, "here"), await Place.start(t, "there")];
  const api = visitor(t, here, { follow: (address) => address === there.address });
  const answered: number[] = [];
  let next = 0;
  let stop = false;
  const caller = async () => {
    while (!stop) {
      const id = next++;
      await where(api, id);
      answered.push(id);
    }
  };
  const callers = Array.from({ length: 16 }, caller);
  await until(() => here.executed.size > 200, "load here");
  here.server.broadcast(moved(there.address));
  await until(() => there.executed.size > 200, "load there");
  stop = true;
  await Promise.all(callers);
  assert.equal(answered.length, next);
  const times = (id: number) => (here.executed.get(id) ?? 0) + (there.executed.get(id) ?? 0);
  assert.deepEqual(
    answered.filter((id) => times(id) !== 1),
    [],
  );
});

test("who comes later is sent on instead of let in, until it is taken back", async (t) => {
  const [here, there] = [await Place.start(t, "here"), await Place.start(t, "there")];
  here.server.broadcast(moved(there.address));
  const states: (CallError | undefined)[] = [];
  const onState = (_: unknown, error: CallError | undefined) => void states.push(error);
  const api = visitor(t, here, { follow: [there.address], onState });
  assert.equal(await where(api), "there");
  assert.match(states.find((error) => error !== undefined)?.message ?? "", /MOVED.*has moved/);
  here.server.broadcast(moved(undefined));
  assert.equal(await where(visitor(t, here)), "here");
});

test("nobody follows to where it was not allowed", async (t) => {
  const [here, there] = [await Place.start(t, "here"), await Place.start(t, "there")];
  here.server.broadcast(moved(there.address));
  const asked: string[] = [];
  const thrown: unknown[] = [];
  const forms: ClientOptions[] = [
    {},
    { follow: ["127.0.0.1:1"] },
    { follow: (address) => asked.push(address) < 0 },
    {
      follow: () => {
        throw new Error("cannot say");
      },
      onError: (error) => void thrown.push(error),
    },
  ];
  for (const options of forms) {
    const api = visitor(t, here, options);
    const outcome = await api.call("where" as never, 0 as never, { deadlineMs: 200 }).then(
      () => "answered",
      (error: unknown) => (error instanceof CallError ? error.code : String(error)),
    );
    assert.equal(outcome, "DEADLINE_EXCEEDED");
    await api.close();
  }
  assert.equal(there.server.statistics().accepted, 0);
  assert.ok(asked.length > 0 && asked.every((address) => address === there.address));
  assert.match(String(thrown[0]), /cannot say/);
});

test("it comes back to its own address when there is nobody where it was sent", async (t) => {
  const [here, there] = [await Place.start(t, "here"), await Place.start(t, "there")];
  const { address } = there;
  here.server.broadcast(moved(address));
  const states: string[] = [];
  const api = visitor(t, here, { follow: [address], onState: (state) => void states.push(state) });
  assert.equal(await where(api), "there");
  here.server.broadcast(moved(undefined));
  states.length = 0;
  await there.server.close({ drainMs: 1 });
  await until(() => states.includes("waiting"), "the client to notice");
  assert.equal(await where(api), "here");
});

test("a session's secret is not shown to another server", async (t) => {
  const here = await Place.start(t, "here");
  const hellos: Buffer[] = [];
  const stranger = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", (bytes: Buffer) => void (hellos.push(bytes) && socket.destroy()));
  });
  stranger.listen(0, "127.0.0.1");
  await once(stranger, "listening");
  t.after(() => stranger.close());
  const address = `127.0.0.1:${(stranger.address() as AddressInfo).port}`;
  const cutter = await Cutter.start(t, portOf(here.server));
  const backOff = { firstMs: 1, mostMs: 20 };
  const api = client({ port: cutter.port, backOff, follow: [address] });
  t.after(() => api.close());
  await api.connected();
  // It is cut, and comes back with its session to be sent on.
  cutter.refusing = true;
  cutter.cut();
  here.server.broadcast(moved(address));
  cutter.refusing = false;
  await until(() => hellos.length > 0, "a HELLO at the other address");
  const [hello] = decodeFast((hellos[0] as Buffer).subarray(8), 65_536).frames;
  const keys = ((hello?.tlvs ?? []) as { key: number }[]).map(({ key }) => key);
  assert.ok(keys.includes(13), "a HELLO that asks for a session");
  assert.deepEqual([keys.includes(9), keys.includes(10)], [false, false]);
});

test("who does not finish in time is told MOVED, with the address", async (t) => {
  const [here, there] = [await Place.start(t, "here"), await Place.start(t, "there")];
  const api = visitor(t, here, { follow: [there.address] });
  const slow = api.call("slow" as never, 0 as never) as Promise<unknown>;
  await until(() => here.slow === 1, "a call in flight");
  here.server.broadcast(moved(there.address, { drainMs: 20 }));
  await assert.rejects(within(slow, "an end"), { code: "UNAVAILABLE" });
  assert.equal(await where(api), "there");
  here.finish();
});

test("what is no address is refused", () => {
  for (const bad of ["", "7000", "host", "host:0", "host:65536", "a b:1", "::1:7000", "h:1\n"]) {
    assert.throws(() => moved(bad), /moved takes HOST:PORT/, bad);
    assert.throws(() => client({ port: 1, follow: [bad] }), /follow must be/, bad);
  }
  assert.throws(() => moved("host:1", { drainMs: 0 }), /drainMs must be an integer/);
  assert.equal(moved("[::1]:7000").address, "[::1]:7000");
});
