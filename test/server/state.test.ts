// What threads share: counters that lose nothing, and maps whose operations happen one after the other; also when threads
// race, and when one dies in the middle.

import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { SharedMapError } from "../../src/index.ts";
import {
  CHANGED,
  DELETE,
  DELETE_IF,
  DONE,
  FULL,
  GET,
  MapStore,
  SET,
  SET_IF,
} from "../../src/server/map-store.ts";
import { countersLength, SharedCounters } from "../../src/server/named-counters.ts";
import { serve } from "../../src/server/serve.ts";
import { DRIVERS } from "../support/drivers.ts";
import { LineClient, onEachThread } from "../support/line-client.ts";
import { until } from "../support/until.ts";

const ROOMS = new URL("../support/handlers/rooms.ts", import.meta.url);

describe("shared counters", () => {
  test("the same name is the same counter in every region, others are others, and -1 counts down", () => {
    const memory = new SharedArrayBuffer(countersLength(3));
    const [a, b, c] = [0, 1, 2].map((region) => new SharedCounters(memory, region));
    assert.ok(a && b && c);
    assert.equal(a.counter("x").add(), 1);
    assert.equal(b.counter("x").add(5), 6);
    assert.equal(c.counter("y").add(-1), -1);
    assert.equal(a.counter("y").value, -1);
    assert.equal(c.counter("x").value, 6);
    assert.equal(
      a.counter("ü".repeat(127)).add(Number.MAX_SAFE_INTEGER - 1),
      Number.MAX_SAFE_INTEGER - 1,
    );
    assert.equal(b.counter("ü".repeat(127)).add(1), Number.MAX_SAFE_INTEGER);
    for (const wrong of ["", "x".repeat(256)]) assert.throws(() => a.counter(wrong), RangeError);
    assert.throws(() => a.counter("x").add(0.5), /an integer/);
  });

  test("a thread's region is bounded, and full for new names only", () => {
    const memory = new SharedArrayBuffer(countersLength(2));
    const [a, b] = [0, 1].map((region) => new SharedCounters(memory, region));
    assert.ok(a && b);
    let made = 0;
    assert.throws(() => {
      for (;;) a.counter(`counter ${made++}`).add();
    }, /cannot make more counters/);
    assert.ok(made > 200, `${made}`);
    assert.equal(b.counter("counter 7").add(), 2);
    assert.equal(b.counter("of another region").add(), 1);
    assert.equal(a.counter("of another region").add(), 2);
  });

  test("threads that race for the same names agree on every one of them, also when one is ended in the middle", async () => {
    const threads = 3;
    const names = 60;
    const adds = 200;
    const memory = new SharedArrayBuffer(countersLength(threads + 1));
    const start = new Int32Array(new SharedArrayBuffer(8));
    const entry = fileURLToPath(new URL("../support/counting-worker.ts", import.meta.url));
    const work = (region: number, last: boolean) =>
      new Worker(entry, { workerData: { memory, region, start, names, adds, last } });
    const victim = work(threads - 1, true);
    const workers = [work(0, false), work(1, false)];
    await until(() => Atomics.load(start, 1) === threads, "all threads");
    Atomics.store(start, 0, 1);
    Atomics.notify(start, 0);
    await Promise.all(
      workers.map((worker) => new Promise((resolve) => worker.once("exit", resolve))),
    );
    await victim.terminate();
    // The dead one's region goes to a successor, which goes on in it.
    const successor = new SharedCounters(memory, threads - 1);
    const here = new SharedCounters(memory, threads);
    for (let n = 0; n < names; n++) {
      const { value } = here.counter(`name ${n}`);
      assert.ok(value >= 2 * adds, `name ${n}: ${value}`);
      assert.equal(successor.counter(`name ${n}`).add(0), value);
    }
    assert.equal(successor.counter("new").add(), 1);
    assert.equal(here.counter("new").add(), 2);
  });
});

const KEY = fc.constantFrom("a", "b");
const OPERATION = fc.record({
  operation: fc.constantFrom(GET, SET, DELETE, SET_IF, DELETE_IF),
  name: fc.constantFrom("one", "two"),
  key: KEY,
  /** Which of the versions that were seen so far is given. */
  seen: fc.nat(5),
  value: fc.uint8Array({ maxLength: 60 }),
});

describe("what shared maps hold", () => {
  test("any sequence of operations answers as a plain map with versions does, and is counted to the byte", () => {
    fc.assert(
      fc.property(fc.array(OPERATION, { maxLength: 60, size: "max" }), (operations) => {
        const most = 500;
        const store = new MapStore(most);
        const model = new Map<string, { version: number; value: Uint8Array }>();
        const versions = [0];
        const size = (id: string, value: Uint8Array) =>
          (id.split("/")[1] ?? "").length * 2 + value.length + 128;
        const bytes = () => [...model].reduce((sum, [id, { value }]) => sum + size(id, value), 0);
        for (const { operation, name, key, seen, value } of operations) {
          const id = `${name}/${key}`;
          const version = versions[seen % versions.length] as number;
          const before = model.get(id);
          const answer = store.apply(operation, name, key, version, value);
          if (
            (operation === SET_IF || operation === DELETE_IF) &&
            version !== (before?.version ?? 0)
          ) {
            assert.notEqual(answer.status, DONE);
            assert.deepEqual([answer.version, answer.value], [before?.version ?? 0, before?.value]);
          } else if (operation === SET || operation === SET_IF) {
            const grown = bytes() - (before ? size(id, before.value) : 0) + size(id, value);
            if (grown > most && grown > bytes()) assert.equal(answer.status, FULL);
            else {
              assert.equal(answer.status, DONE);
              assert.ok(answer.version > Math.max(...versions), "versions only grow");
              versions.push(answer.version);
              model.set(id, { version: answer.version, value });
            }
          } else {
            assert.deepEqual(
              [answer.status, answer.version, answer.value],
              [DONE, before?.version ?? 0, before?.value],
            );
            if (operation !== GET) model.delete(id);
          }
          assert.equal(store.bytes, bytes());
        }
      }),
    );
  });
});

describe("values in shared maps that do not stay", () => {
  /** 40 entries of the size that `put` makes fit. */
  const MOST = 40 * (2 + 70 + 128);
  const VALUE = new Uint8Array(70);

  function makeStore() {
    const clock = { ms: 1000 };
    const store = new MapStore(MOST, () => clock.ms);
    const put = (key: string, tenure?: Parameters<MapStore["apply"]>[5], operation = SET) =>
      store.apply(operation, "map", key, 0, VALUE, tenure).status;
    const has = (key: string) =>
      store.apply(GET, "map", key, 0, new Uint8Array(0)).value !== undefined;
    return { clock, store, put, has };
  }

  test("one with a time is gone when that is over, for whoever asks, and makes room for one that is not there", () => {
    const { clock, store, put, has } = makeStore();
    put("a", { keepMs: 10, lives: undefined });
    clock.ms += 9;
    assert.equal(has("a"), true);
    assert.equal(put("a", undefined, SET_IF), CHANGED);
    clock.ms += 1;
    assert.equal(has("a"), false);
    assert.equal(store.bytes, 0);
    put("a", { keepMs: 10, lives: undefined });
    clock.ms += 10;
    assert.equal(put("a", undefined, SET_IF), DONE, "for ever from here on");
    clock.ms += 1000;
    assert.equal(has("a"), true);
  });

  test("one that goes with its thread is gone with it", () => {
    const { store, put, has } = makeStore();
    let alive = true;
    put("a", { keepMs: 0, lives: () => alive });
    assert.equal(has("a"), true);
    alive = false;
    assert.equal(put("a", undefined, SET_IF), DONE);
    put("b", { keepMs: 0, lives: () => alive });
    assert.equal(has("b"), false);
    assert.equal(store.bytes, 200);
  });

  test("what nobody asks for is forgotten by other writes, a few at a time", () => {
    const { clock, store, put } = makeStore();
    let alive = true;
    const lives = () => alive;
    for (let n = 0; n < 5; n++) put(`t${n}`, { keepMs: 10, lives: undefined });
    for (let n = 0; n < 5; n++) put(`l${n}`, { keepMs: 0, lives: n === 2 ? undefined : lives });
    alive = false;
    clock.ms += 10;
    for (let n = 0; n < 3; n++) put("x");
    assert.equal(store.bytes, 200 + 202, "x, l2 and nothing else");
  });

  test("those with a time have a quarter of the room together, and the oldest go first", () => {
    const { store, put, has } = makeStore();
    for (let n = 10; n < 30; n++) put(String(n), { keepMs: 1000, lives: undefined });
    assert.equal(store.bytes <= MOST / 4, true);
    assert.deepEqual([has("20"), has("21"), has("29")], [false, true, true]);
  });

  test("those with a time go where somebody else needs the room, and only if that helps", () => {
    const { store, put, has } = makeStore();
    for (let n = 0; n < 9; n++) put(String(n), { keepMs: 1000, lives: undefined });
    for (let n = 0; n < 30; n++) assert.equal(put(`forever ${n}`), DONE);
    assert.deepEqual([has("0"), has("1"), has("2")], [false, false, true]);
    const tooLarge = new Uint8Array(MOST);
    assert.equal(store.apply(SET, "map", "large", 0, tooLarge).status, FULL);
    assert.equal(has("8"), true);
  });

  test("those of dead threads make room at once", () => {
    const { put } = makeStore();
    let alive = true;
    for (let n = 0; put(`old ${n}`, { keepMs: 0, lives: () => alive }) === DONE; n++);
    alive = false;
    for (let n = 0; n < 30; n++) assert.equal(put(`new ${n}`), DONE);
  });
});

for (const { name: driver, skip } of DRIVERS) {
  for (const threads of [1, 2]) {
    describe(`shared state, ${driver}, ${threads} thread(s)`, { skip }, () => {
      const model = threads === 1 ? ({ model: "event-loop" } as const) : { threads };
      const start = async (t: TestContext) => {
        const server = await serve(ROOMS, {
          driver,
          ...model,
          limits: { mapBytes: 4096 },
          onError: () => undefined,
        });
        t.after(() => server.close({ drainMs: 50 }));
        return server;
      };

      test("counters and maps are the same everywhere, and updates are never lost", async (t) => {
        const server = await start(t);
        const clients = [
          ...(await onEachThread(t, server, threads)),
          await LineClient.connect(t, server.address),
        ];
        const [one, two] = clients;
        assert.ok(one && two);
        assert.equal(await one.ask("count visits 2"), "2");
        assert.equal(await two.ask("count visits 3"), "5");
        assert.equal(server.counter("visits").add(-1), 4);
        assert.equal(await one.ask("count visits 0"), "4");

        assert.equal(await one.ask("get a"), "undefined");
        assert.equal(await one.ask("set a first"), "set");
        assert.equal(await two.ask("get a"), "first");
        assert.equal(await server.map("test").get("a"), "first");
        await server.map("test").set("b", "the server's");
        assert.equal(await two.ask("get b"), "the server's");
        assert.equal(await two.ask("delete a"), "true");
        assert.equal(await one.ask("delete a"), "false");

        await assert.rejects(server.map("test").set("c", 1, { keepMs: 0.5 }), /keepMs must be/);
        assert.equal(await server.map("test").add("b", "another's"), "the server's");
        assert.equal(await server.map("test").add("c", "new", { keepMs: 60_000 }), undefined);
        assert.equal(await two.ask("get c"), "new");

        const rounds = 100;
        const sums = await Promise.all(
          clients.map((client) => client.ask(`increment n ${rounds}`)),
        );
        assert.equal(Math.max(...sums.map(Number)), rounds * clients.length);
        assert.equal(await server.map("test").get("n"), rounds * clients.length);
        const undone = await server.map<number>("test").update("n", () => undefined);
        assert.equal(undone, undefined);
        assert.equal(await one.ask("get n"), "undefined");
      });

      // One thread asks itself, two ask each other: what is refused is refused before that.
      const once = threads === 1 ? false : "as with one thread";
      test("what does not fit is refused, and says so", { skip: once }, async (t) => {
        const server = await start(t);
        const map = server.map<string>("test");
        const full = (error: unknown) =>
          error instanceof SharedMapError && error.code === "ERR_SLUICE_MAP_FULL";
        await assert.rejects(map.set("a", "x".repeat(4096)), full);
        await assert.rejects(
          map.update("a", () => "x".repeat(4096)),
          full,
        );
        await assert.rejects(map.set("a", "x".repeat(300_000)), /do not fit a mailbox/);
        await assert.rejects(map.set("a".repeat(1025), "x"), /at most 1024 bytes/);
        await assert.rejects(map.set("a", undefined as never), /use delete/);
        await assert.rejects(map.set("a", (() => 1) as never), /values that can be cloned/);
        assert.throws(() => server.map("a\0b"), RangeError);
        const client = await LineClient.connect(t, server.address);
        assert.match(await client.ask(`set a ${"x".repeat(4096)}`), /^refused ERR_SLUICE_MAP_FULL/);
      });
    });
  }
}
