// src/sys/abi.ts against the system's own headers, by a C compiler.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  compareAbi,
  compareGeneric,
  compilerRefusal,
  statedGenericNumbers,
  statedNumbers,
} from "../../scripts/abi.ts";

const refused = compilerRefusal();
if (refused !== undefined && process.env.CI === "true")
  throw new Error(`the ABI is untested: ${refused}`);

describe("the ABI", { skip: refused ?? false }, () => {
  test("every constant, size and offset is what the headers say", () => {
    const { compared, wrong, unknown } = compareAbi(statedNumbers());
    assert.deepEqual(wrong, []);
    assert.deepEqual(unknown, []);
    assert.ok(compared > 180, `only ${compared} numbers were compared`);
  });

  test("arm64's system calls are those of the generic table", () => {
    const { compared, wrong, unknown } = compareGeneric(statedGenericNumbers());
    assert.deepEqual({ wrong, unknown }, { wrong: [], unknown: [] });
    assert.ok(compared >= 6, `only ${compared} calls were compared`);
  });

  test("a wrong number is found, and so is a name that no header knows", () => {
    const stated = new Map([
      ["SO_REUSEPORT", 14],
      ["sizeof(struct epoll_event)", 13],
      ["SO_REUSEADDR", 2],
      ["SO_NO_SUCH_OPTION", 1],
    ]);
    const { compared, wrong, unknown } = compareAbi(stated);
    assert.equal(compared, 3);
    assert.equal(wrong.length, 2, wrong.join("\n"));
    assert.match(wrong.join("\n"), /SO_REUSEPORT is 15, we say 14/);
    assert.deepEqual(unknown, ["SO_NO_SUCH_OPTION"]);
  });
});
