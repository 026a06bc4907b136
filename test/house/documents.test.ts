// What the documents say holds: their programs compile against this source, their commands exist, their tables are the
// code's.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { LIMITS } from "../../src/limits.ts";
import { WIRE_LIMITS } from "../../src/protocol/wire-limits.ts";
import { checkOptions, type ServeOptions } from "../../src/server/options.ts";
import { exportedSources, type Program, programsOf, ROOT } from "./document-programs.ts";

const DOCUMENTS = [
  "README.md",
  "ARCHITECTURE.md",
  "HACKING.md",
  ...readdirSync(join(ROOT, "docs"), { recursive: true })
    .map((name) => join("docs", String(name)))
    .filter((name) => name.endsWith(".md")),
];

function text(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

/** Type-checks programs as a user's project would; what the compiler says, or nothing. */
function compile(documents: readonly (readonly Program[])[]): string {
  const folder = mkdtempSync(join(tmpdir(), "sluice-documents-"));
  try {
    // A package of the name that they import, whose types are this source's.
    const installed = join(folder, "node_modules/sluice");
    mkdirSync(installed, { recursive: true });
    const options = {
      strict: true,
      noEmit: true,
      target: "esnext",
      module: "nodenext",
      skipLibCheck: true,
      allowImportingTsExtensions: true,
      types: ["node"],
      typeRoots: [join(ROOT, "node_modules/@types")],
      paths: Object.fromEntries([...exportedSources()].map(([name, source]) => [name, [source]])),
    };
    const files = documents.flatMap((programs, index) => {
      mkdirSync(join(folder, `${index}`));
      return programs.map(({ file, source }) => {
        writeFileSync(join(folder, `${index}`, file), source);
        return `${index}/${file}`;
      });
    });
    writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
    writeFileSync(
      join(folder, "tsconfig.json"),
      JSON.stringify({ compilerOptions: options, files }),
    );
    const compiler = join(ROOT, "node_modules/typescript/bin/tsc");
    execFileSync(process.execPath, [compiler, "--project", folder], { stdio: "pipe" });
    return "";
  } catch (error) {
    return error instanceof Error && "stdout" in error ? String(error.stdout) : String(error);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

describe("the documents", () => {
  test("every program in them compiles", () => {
    const all = DOCUMENTS.map(programsOf);
    assert.ok(all.flat().length >= 12, `only ${all.flat().length} programs`);
    assert.equal(compile(all), "");
  });

  test("one that does not is found", () => {
    const wrong = { file: "wrong.ts", source: 'import { server } from "sluice";\nserver();' };
    assert.match(compile([[wrong]]), /no exported member/);
  });

  test("every npm script that they name exists", () => {
    const { scripts }: { scripts: Record<string, string> } = JSON.parse(text("package.json"));
    const named = DOCUMENTS.flatMap((path) =>
      [...text(path).matchAll(/npm run (?:--silent )?([\w:-]+)/g)].map((match) => match[1] ?? ""),
    );
    assert.ok(named.length > 5);
    assert.deepEqual(
      named.filter((name) => !(name in scripts)),
      [],
    );
  });

  test("docs/limits.md has every limit, with its unit, default and bounds", () => {
    const rows = [
      ...text("docs/limits.md").matchAll(
        /^\| `(\w+)` \| (\w+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$/gm,
      ),
    ];
    const told = rows.map(([, name, unit, ...numbers]) => [
      name,
      unit,
      ...numbers.map((number) => Number(number?.replaceAll(",", ""))),
    ]);
    const real = [...Object.entries(LIMITS), ...Object.entries(WIRE_LIMITS)].map(
      ([name, bound]) => [name, bound.unit, bound.default, bound.minimum, bound.maximum],
    );
    assert.deepEqual(told, real);
    for (const name of Object.keys(LIMITS)) {
      assert.ok(text("docs/limits.md").includes(`- **\`${name}\`**`), `${name} is not explained`);
    }
  });

  test("docs/api.md names every option of serve, and its defaults are the code's", () => {
    const options: Record<keyof ServeOptions, true> = {
      port: true,
      host: true,
      path: true,
      ipv6Only: true,
      driver: true,
      model: true,
      threads: true,
      computeThreads: true,
      balance: true,
      pin: true,
      adoptOrphans: true,
      backlog: true,
      limits: true,
      overflow: true,
      slowSubscriber: true,
      noDelay: true,
      keepAlive: true,
      userTimeoutMs: true,
      reusePort: true,
      receiveBufferBytes: true,
      sendBufferBytes: true,
      deferAcceptSeconds: true,
      onError: true,
    };
    const api = text("docs/api.md");
    const unnamed = Object.keys(options).filter((name) => !api.includes(`\`${name}\``));
    assert.deepEqual(unnamed, []);
    const { port, host, driver, backlog, overflow, socket } = checkOptions({}, true);
    assert.deepEqual(
      { port, host, driver, backlog, overflow },
      {
        port: 0,
        host: "127.0.0.1",
        driver: "auto",
        backlog: 4096,
        overflow: "close",
      },
    );
    assert.equal(socket.noDelay, true);
    assert.deepEqual(socket.keepAlive, { idleSeconds: 60, intervalSeconds: 10, count: 6 });
  });
});
