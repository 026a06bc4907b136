// Moving a connection from one reactor to another: thousands of times under load, byte for byte, and what happens when
// something else happens to it on the way.

import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { describe, type TestContext, test } from "node:test";
import { lines } from "../../src/codec/lines.ts";
import { makeDriver } from "../../src/driver/choose-driver.ts";
import type { DriverEvents } from "../../src/driver/driver.ts";
import type { Handlers } from "../../src/handlers.ts";
import { RAW_DRIVERS, type TestedDriver } from "../support/drivers.ts";
import {
  MovingReactors,
  moveUnderLoad,
  type Traveller,
  type Travels,
} from "../support/moving-reactors.ts";

const MIB = 1024 * 1024;
const MOVES = 1000;

const make = (driver: TestedDriver["name"]) => (events: DriverEvents, slots: number) =>
  makeDriver(driver, { events, slots, outputBytes: 16 * MIB });

/** One connection in the first of two reactors, raw bytes echoed, and its peer. */
class Scene {
  readonly pair: MovingReactors;
  readonly peer: Socket;
  readonly connection: Traveller;
  got = "";
  peerError = "";
  peerEnded = false;
  /** What became of the last move. */
  moved: boolean | undefined;

  private constructor(pair: MovingReactors, peer: Socket, connection: Traveller) {
    this.pair = pair;
    this.peer = peer;
    this.connection = connection;
    peer.on("data", (bytes: Buffer) => {
      this.got += bytes;
    });
    peer.on("error", (error: NodeJS.ErrnoException) => {
      this.peerError = error.code ?? "";
    });
    peer.on("end", () => {
      this.peerEnded = true;
    });
  }

  static async set(
    t: TestContext,
    driver: TestedDriver["name"],
    handlers: Partial<Handlers<string, string, Travels>> = {},
  ): Promise<Scene> {
    const text = {
      codec: lines(),
      message: (connection, line) => void connection.send(line),
      ...handlers,
    } as Partial<Handlers<string, string, Travels>>;
    const pair = new MovingReactors(make(driver), text as object);
    await pair.listen();
    const peer = connect({ port: pair.port, host: "127.0.0.1", allowHalfOpen: true });
    t.after(() => peer.destroy());
    await pair.until(() => pair.known[0]?.size === 1, "the connection");
    return new Scene(pair, peer, [...(pair.known[0] ?? [])][0] as Traveller);
  }

  /** Begins to move it from the first to the second: LEAVING until the next turn. */
  move(): void {
    this.moved = undefined;
    const began = this.pair.move(0, this.connection, (moved) => {
      this.moved = moved;
    });
    assert.ok(began, "it can be moved");
  }

  async isOver(): Promise<boolean> {
    await this.pair.until(() => this.moved !== undefined, "the end of the move");
    return this.moved === true;
  }

  until(done: () => boolean, what: string): Promise<void> {
    return this.pair.until(done, what);
  }

  /** Its object in the reactor where it is now. */
  get here(): Traveller {
    return [...(this.pair.known[0] ?? []), ...(this.pair.known[1] ?? [])][0] as Traveller;
  }

  async end(): Promise<void> {
    this.peer.destroy();
    await this.until(() => this.pair.closed.length === 1, "closed");
    await this.pair.close();
    assert.equal(this.pair.closed.length, 1, "closed once");
    assert.equal(this.pair.opened, 1, "opened once");
  }
}

for (const { name: driver, skip } of RAW_DRIVERS) {
  describe(`moving, ${driver}`, { skip }, () => {
    test(`${MOVES} moves of connections under load: each byte arrives once, in order`, async () => {
      const { moved } = await moveUnderLoad(make(driver), {
        connections: 16,
        moves: MOVES,
        seed: 1,
      });
      assert.ok(moved >= MOVES);
    });

    test("what is written while it leaves goes along, behind what was written before", async (t) => {
      const scene = await Scene.set(t, driver);
      scene.connection.write("before\n");
      scene.move();
      await scene.until(() => scene.got === "before\n", "what was written before");
      // Nothing is under way any more: the driver is letting go of it in the next turn.
      scene.connection.write("meanwhile\n");
      scene.connection.write("x".repeat(5000));
      assert.equal(await scene.isOver(), true);
      assert.equal(scene.connection.open, false);
      assert.equal(scene.connection.write("too late"), false);
      scene.here.write("after\n");
      const all = `before\nmeanwhile\n${"x".repeat(5000)}after\n`;
      await scene.until(() => scene.got.length >= all.length, "everything");
      assert.equal(scene.got, all);
      await scene.end();
    });

    test("a handler that is busy is waited for; its answer leaves before the connection does", async (t) => {
      let finish = () => {};
      const scene = await Scene.set(t, driver, {
        async message(connection, line) {
          if (line === "long")
            await new Promise<void>((resolve) => {
              finish = resolve;
            });
          connection.send(`${line} ${connection.state.arrivals}`);
        },
      });
      scene.peer.write("long\nshort\nunfinish");
      await scene.until(() => scene.connection.unread !== undefined, "a busy handler");
      scene.move();
      for (let n = 0; n < 20; n++) scene.pair.turn();
      assert.equal(scene.moved, undefined);
      finish();
      assert.equal(await scene.isOver(), true);
      scene.peer.write("ed\n");
      const all = "long 0\nshort 1\nunfinished 1\n";
      await scene.until(() => scene.got.length >= all.length, "all answers");
      assert.equal(scene.got, all);
      await scene.end();
    });

    for (const way of ["close", "end", "reset"] as const) {
      test(`${way}() while it leaves: it stays, and ends as it should`, async (t) => {
        const scene = await Scene.set(t, driver);
        scene.move();
        scene.connection.write("last\n");
        scene.connection[way]();
        assert.equal(scene.connection.open, false);
        assert.equal(await scene.isOver(), false);
        if (way === "reset") {
          await scene.until(() => scene.peerError === "ECONNRESET", "a reset");
        } else {
          await scene.until(() => scene.peerEnded, "the end of the stream");
          assert.equal(scene.got, "last\n");
          scene.peer.end();
        }
        await scene.until(() => scene.pair.closed.length === 1, "closed");
        assert.deepEqual(scene.pair.closed, [way === "reset" ? "reset" : "closed"]);
        await scene.end();
      });
    }

    test("a peer that sends and ends, or resets, on the way is met by the other reactor", async (t) => {
      const ends = await Scene.set(t, driver);
      ends.peer.write("one\n");
      ends.peer.end("two\n");
      ends.move();
      assert.equal(await ends.isOver(), true);
      await ends.until(() => ends.pair.closed.length === 1, "closed");
      assert.deepEqual([ends.got, ends.pair.closed], ["one\ntwo\n", ["peer-ended"]]);
      await ends.end();
      const resets = await Scene.set(t, driver);
      resets.move();
      resets.peer.resetAndDestroy();
      await resets.isOver();
      await resets.until(() => resets.pair.closed.length === 1, "closed");
      assert.deepEqual(resets.pair.closed, ["error"]);
      await resets.end();
    });

    test("a state that cannot be cloned keeps it where it is, with all it was sent", async (t) => {
      const told: string[] = [];
      const scene = await Scene.set(t, driver, {
        state: () => ({ handled: 0, arrivals: 0, cannot: () => {} }),
        departed: () => void told.push("departed"),
        arrived: () => void told.push("arrived"),
      });
      scene.peer.write("one\ntw");
      scene.move();
      assert.equal(await scene.isOver(), false);
      assert.deepEqual(told, ["departed", "arrived"]);
      assert.match(String(scene.pair.errors), /could not be cloned/);
      assert.equal(scene.pair.move(0, scene.connection), false, "it is not tried again");
      scene.peer.write("o\n");
      await scene.until(() => scene.got === "one\ntwo\n", "both answers");
      assert.equal(scene.connection.remoteAddress?.family, "ipv4");
      await scene.end();
    });

    test("departed may close it; whoever throws there loses the connection and nothing else", async (t) => {
      const closes = await Scene.set(t, driver, { departed: (connection) => connection.close() });
      closes.move();
      assert.equal(await closes.isOver(), false);
      closes.peer.end();
      await closes.until(() => closes.pair.closed.length === 1, "closed");
      assert.deepEqual(closes.pair.closed, ["closed"]);
      await closes.end();
      const throws = await Scene.set(t, driver, {
        departed() {
          throw new Error("thrown in departed");
        },
      });
      throws.move();
      assert.equal(await throws.isOver(), false);
      throws.peer.end();
      await throws.until(() => throws.pair.closed.length === 1, "closed");
      assert.deepEqual(throws.pair.closed, ["handler"]);
      await throws.end();
    });

    test("how long it has been silent, its topics and its pause go along", async (t) => {
      const scene = await Scene.set(t, driver);
      scene.connection.activeMs -= 5000;
      scene.connection.pause();
      scene.connection.subscribe("news.*");
      scene.move();
      assert.equal(await scene.isOver(), true);
      scene.peer.write("unread\n");
      const { here } = scene;
      assert.deepEqual([...here.subscriptions], ["news.*"]);
      assert.equal(here.id, scene.connection.id);
      const silentMs = (scene.pair.reactors[1]?.driver.now() ?? 0) - here.activeMs;
      assert.ok(silentMs >= 4999 && silentMs < 20_000, `${silentMs}`);
      for (let n = 0; n < 20; n++) scene.pair.turn();
      assert.equal(scene.got, "", "it is paused");
      here.resume();
      await scene.until(() => scene.got === "unread\n", "an answer");
      assert.equal(scene.pair.counters(0).subscriptions, 0);
      await scene.end();
      assert.equal(scene.pair.counters(1).subscriptions, 0);
    });

    test("one that comes to a reactor which drains is told so, and ends when all is handled", async (t) => {
      const told: number[] = [];
      const scene = await Scene.set(t, driver, {
        draining: (connection) => void told.push(connection.state.arrivals),
      });
      scene.connection.pause();
      scene.peer.write("one\ntwo\nunfinish");
      await scene.until(() => scene.connection.unread !== undefined, "unread input");
      const drained = scene.pair.reactors[1]?.drain();
      scene.move();
      assert.equal(await scene.isOver(), true);
      assert.deepEqual(told, [1]);
      scene.here.resume();
      await scene.until(() => scene.peerEnded, "the end of the stream");
      assert.equal(scene.got, "one\ntwo\n");
      scene.peer.end();
      await scene.until(() => scene.pair.closed.length === 1, "closed");
      assert.deepEqual(scene.pair.closed, ["shutdown"]);
      await drained;
      await scene.end();
    });

    test("who ends, has ended half, drains, or has a codec that keeps for itself, is not moved", async (t) => {
      const half = await Scene.set(t, driver);
      half.connection.end();
      assert.equal(half.pair.move(0, half.connection), false, "half closed");
      await half.end();
      const { kept: _, ...silent } = lines().decoder();
      const codec = { ...lines(), decoder: () => ({ ...silent, next: () => undefined }) };
      const own = await Scene.set(t, driver, { codec });
      assert.equal(own.pair.move(0, own.connection), false, "no kept()");
      await own.end();
      const drains = await Scene.set(t, driver, { draining: (connection) => connection.pause() });
      drains.move();
      const [first] = drains.pair.reactors;
      const drained = first?.drain();
      assert.equal(await drains.isOver(), false);
      drains.peer.end();
      await drains.until(() => drains.pair.closed.length === 1, "closed");
      assert.deepEqual(drains.pair.closed, ["shutdown"]);
      await drained;
      await drains.end();
    });
  });
}
