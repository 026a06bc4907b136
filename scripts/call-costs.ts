// `node scripts/call-costs.ts`: what a call through node:ffi costs, by the number and the types of its arguments. The tables
// in docs/decisions/0002-calling-the-kernel.md come from here.
//
// Every row calls the same C function, which returns at once and looks at no argument, so that what is measured is
// node:ffi alone. (A caller in C may pass more than a function takes.)

import { dlopen } from "node:ffi";

const CALLS = 200_000;
const ROUNDS = 15;
/** The thread-safe way to find errno: a few instructions of C. */
const CHEAP = "__errno_location";
const POINTERS = Array.from({ length: 8 }, (_, index) => 0x7f00_0000_1000n + BigInt(index));

type Kind = "int32" | "uint32" | "pointer" | "uint64";

/** Signatures of src/sys/native-library.ts that lie on the path of every message. */
const HOT: readonly (readonly [what: string, types: readonly Kind[]])[] = [
  ["syscall with words", ["pointer", "pointer", "pointer", "pointer", "pointer", "pointer"]],
  ["io_uring_enter, timed", ["int32", "int32", "uint32", "uint32", "uint32", "pointer", "uint64"]],
  ["recv, send, were they used", ["int32", "pointer", "uint64", "int32"]],
];

/** Median over the rounds of the time of one call, in ns. */
function measure(types: readonly Kind[], label = ""): number {
  const { functions } = dlopen(null, { [CHEAP]: { arguments: types, return: "int32" } });
  const call: unknown = functions[CHEAP];
  // Written out, as in the drivers: a spread would be measured too. The values change, as those of real calls do. The
  // comment keeps V8 from taking two of these loops for one.
  const values = types.map((type, index) =>
    type.endsWith("32") ? `n + ${index}` : `pointers[(n + ${index}) & 7]`,
  );
  const loop = new Function(
    "call",
    "times",
    "pointers",
    `// ${label} ${types.join()}
    let sum = 0; for (let n = 0; n < times; n++) sum += call(${values.join()}); return sum;`,
  );
  const rounds = Array.from({ length: ROUNDS }, () => {
    const started = performance.now();
    loop(call, CALLS, POINTERS);
    return ((performance.now() - started) * 1e6) / CALLS;
  });
  return Math.round(rounds.toSorted((a, b) => a - b)[ROUNDS >> 1] ?? Number.NaN);
}

const machine = `Node ${process.version}, ${process.platform} ${process.arch}`;
console.log(`${machine}; ns a call, median of ${ROUNDS} rounds of ${CALLS} calls\n`);
console.log("| arguments | all int32 | all pointer |\n|---|---|---|");
for (let count = 0; count <= 8; count++) {
  const row = (["int32", "pointer"] as const).map((kind) => measure(new Array(count).fill(kind)));
  console.log(`| ${count} | ${row.join(" | ")} |`);
}
console.log("\n| call | arguments | ns |\n|---|---|---|");
for (const [what, types] of HOT)
  console.log(`| ${what} | ${types.length} | ${measure(types, what)} |`);
