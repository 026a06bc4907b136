// What a thread loads: all that is imported, by whoever it is, costs each thread anew (decision 0055).

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const SOURCES = new URL("../../src/", import.meta.url);

/** Everything that a module loads with it, itself included, as paths below src/. Types are not loaded; what `import()` names is loaded later. */
function loadedWith(path: string): ReadonlySet<string> {
  const loaded = new Set<string>();
  const load = (url: URL) => {
    if (loaded.has(url.href) || !existsSync(url)) return;
    loaded.add(url.href);
    const text = readFileSync(url, "utf8");
    const imports = /^(?:import|export) (?!type )(?:[^;"]* from )?"(\.[^"]+)";/gm;
    for (const [, specifier = ""] of text.matchAll(imports)) load(new URL(specifier, url));
  };
  load(new URL(path, SOURCES));
  return new Set([...loaded].map((url) => url.slice(SOURCES.href.length)));
}

const DRIVERS = ["uring", "epoll", "blocking", "portable"].map(
  (name) => `driver/${name}-driver.ts`,
);
/** What the thread that has called `serve` needs, and no other. */
const SERVERS_OWN = ["server/start.ts", "server/supervisor.ts", "driver/choose-driver.ts"];

function assertLoadsNone(loaded: ReadonlySet<string>, needless: readonly string[]): void {
  for (const path of needless) assert.ok(existsSync(fileURLToPath(new URL(path, SOURCES))), path);
  assert.deepEqual(
    needless.filter((path) => loaded.has(path)),
    [],
  );
}

test("a thread loads its driver and no other, and nothing of the server's own thread", () => {
  assertLoadsNone(loadedWith("server/worker-thread.ts"), [...DRIVERS, ...SERVERS_OWN]);
});

test("a handler module loads neither server nor reactor", () => {
  const loaded = loadedWith("index.ts");
  assertLoadsNone(loaded, [...DRIVERS, ...SERVERS_OWN, "reactor/reactor.ts"]);
});

test("what is imported is followed to its end", () => {
  const loaded = loadedWith("server/start.ts");
  for (const path of [...DRIVERS, ...SERVERS_OWN, "sys/errno.ts"])
    assert.ok(loaded.has(path), path);
});
