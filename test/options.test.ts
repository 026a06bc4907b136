// What cannot be is refused when it is given, with a sentence that says what would be right: by serve, service and client, each
// option that a slip of the keyboard can spoil, and what is missing.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { client } from "../src/client/client.ts";
import { OptionError } from "../src/limits.ts";
import { serve } from "../src/server/serve.ts";
import { anything, call, none, service, token } from "../src/service/service.ts";

const message = () => undefined;

/** What a caller without types can pass. */
type Loose = Record<string, unknown>;

function refused(error: unknown, name: RegExp): true {
  assert.ok(error instanceof OptionError, String(error));
  assert.match(error.message, name);
  return true;
}

describe("serve", () => {
  const mistakes: readonly (readonly [Loose | undefined, RegExp])[] = [
    [undefined, /a table of handlers, not undefined/],
    [{}, /must have a message handler/],
    [{ message: undefined }, /must have a message handler/],
    [{ message, codec: {} }, /codec must be one/],
    [{ message, borrow: 1 }, /borrow must be true or false/],
    [{ message, onError: 5 }, /onError must be a function, not 5/],
    [{ message, limits: null }, /limits must be an object, not null/],
    [{ message, noDelay: 1 }, /noDelay must be true or false/],
    [{ message, reusePort: "yes" }, /reusePort must be true or false/],
    [{ message, ipv6Only: 0 }, /ipv6Only must be true or false/],
    [{ message, keepAlive: "x" }, /keepAlive must be false, or \{ idleSeconds/],
    [{ message, keepAlive: { idleSeconds: 0 } }, /keepAlive.idleSeconds must be an integer/],
    [{ message, sendBufferBytes: -1 }, /sendBufferBytes must be an integer from 1024/],
    [{ message, receiveBufferBytes: 2 ** 40 }, /receiveBufferBytes must be an integer/],
    [{ message, deferAcceptSeconds: -5 }, /deferAcceptSeconds must be an integer from 0/],
    [{ message, adoptOrphans: 1 }, /adoptOrphans must be true or false/],
  ];
  for (const [given, why] of mistakes) {
    test(`${JSON.stringify(given)}: ${why}`, async () => {
      await assert.rejects(serve(given as never), (error) => refused(error, why));
    });
  }

  test("a module's options, and times", async (t) => {
    const file = new URL("support/handlers/lethal.ts", import.meta.url);
    const why = /there is no option threds; there are port/;
    await assert.rejects(serve(file, { threds: 2 } as never), (error) => refused(error, why));
    const server = await serve({ message });
    t.after(() => server.close({ drainMs: 0 }));
    for (const drainMs of [-1, 1.5, 2 ** 31, Number.NaN]) {
      const closing = server.close({ drainMs });
      await assert.rejects(closing, (error) => refused(error, /drainMs must be an integer/));
    }
  });
});

describe("service", () => {
  const routes = { echo: call(anything, anything, (input) => input) };
  const mistakes: readonly (readonly [Loose | null, RegExp])[] = [
    [null, /the options of service must be an object/],
    [{ auht: [none()] }, /there is no option auht; there are limits, auth/],
    [{ auth: [] }, /auth must be a list of methods .* or \[none\(\)\] for everybody/],
    [{ auth: none() }, /auth must be a list of methods/],
    [{ auth: [{}] }, /auth must be a list of methods/],
    [{ authorize: true }, /authorize must be a function/],
    [{ onError: 5 }, /onError must be a function/],
    [{ started: {} }, /started must be a function/],
    [{ codecs: [{}] }, /a codec has an id/],
    [{ codecs: {} }, /codecs must be a list/],
    [{ compression: 3 }, /compression must be true or false/],
    [{ limits: 3 }, /limits must be an object/],
  ];
  for (const [given, why] of mistakes) {
    test(`${JSON.stringify(given)}: ${why}`, () => {
      assert.throws(
        () => service(routes, given as never),
        (error) => refused(error, why),
      );
    });
  }

  test("a method without a function that says who it is", () => {
    const why = /token needs a function that says who it is, not 5/;
    assert.throws(
      () => token(5 as never),
      (error) => refused(error, why),
    );
  });
});

describe("client", () => {
  const port = 1;
  const mistakes: readonly (readonly [Loose | undefined, RegExp])[] = [
    [undefined, /the options of client must be an object/],
    [{}, /needs a port, or the path of a socket/],
    [{ port: 0 }, /port must be an integer from 1/],
    [{ port, prot: 1 }, /there is no option prot/],
    [{ port, path: "/tmp/x" }, /path and host or port exclude/],
    [{ port, auth: {} }, /auth must be \{ token \}/],
    [{ port, auth: { foo: 1 } }, /auth must be \{ token \}/],
    [{ port, auth: { token: 5 } }, /auth must be \{ token \}/],
    [{ port, auth: { user: "ann" } }, /auth must be \{ token \}/],
    [{ port, onState: 5 }, /onState must be a function/],
    [{ port, onError: "x" }, /onError must be a function/],
    [{ port, resume: "no" }, /resume must be true or false/],
    [{ port, compression: 0 }, /compression must be true or false/],
    [{ port, codec: "json" }, /a codec has an id/],
    [{ port, handlers: { "ui.ask": 5 } }, /handlers\["ui.ask"\] must be a function/],
  ];
  for (const [given, why] of mistakes) {
    test(`${JSON.stringify(given)}: ${why}`, () => {
      assert.throws(
        () => client(given as never),
        (error) => refused(error, why),
      );
    });
  }
});
