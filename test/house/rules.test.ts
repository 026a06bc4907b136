// The repository keeps its own rules: see rules.ts for each, with what to do instead.

import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { LONGER_ALLOWED, LONGEST_FILE, MUTABLE_ALLOWED, RULES } from "./rules.ts";
import { repositoryFiles, type SourceFile, sourceFile } from "./source-text.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const FILES = repositoryFiles(ROOT);
/** A release's tarball has no git; a checkout in CI must have it. */
const SKIP = typeof FILES === "string" && process.env.CI !== "true" ? FILES : false;

function files(): readonly SourceFile[] {
  if (typeof FILES === "string") throw new Error(FILES);
  return FILES;
}

function text(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

describe("the repository's rules", { skip: SKIP }, () => {
  for (const rule of RULES) {
    test(rule.name, () => {
      const broken = rule.check(files());
      assert.deepEqual(
        broken,
        [],
        `${rule.name}. Instead: ${rule.instead}\n  ${broken.join("\n  ")}\n`,
      );
    });

    test(`${rule.name}: the rule catches its canary`, () => {
      const canary = Object.entries(rule.canary).map(([path, bad]) => sourceFile(path, bad));
      const caught = rule.check(canary);
      assert.ok(caught.length > 0, "the rule found nothing wrong with a text that breaks it");
    });
  }

  test("no exception outlives its reason", () => {
    const lines = (path: string) => text(path).trimEnd().split("\n").length;
    const short = Object.keys(LONGER_ALLOWED).filter((path) => lines(path) <= LONGEST_FILE);
    assert.deepEqual(short, [], "these fit a sitting by now: take them out of LONGER_ALLOWED");
    const gone = Object.keys(MUTABLE_ALLOWED).filter((entry) => {
      const [path = "", name = ""] = entry.split(" ");
      return !new RegExp(`^(let|const) ${name}\\b`, "m").test(text(path));
    });
    assert.deepEqual(gone, [], "these are gone: take them out of MUTABLE_ALLOWED");
  });

  test("code, comments and strings are told apart", () => {
    const { code, comments, uncommented } = sourceFile(
      "src/x.ts",
      'const a = "// any"; // any\nconst b = /["/]any/g; /* as\nany */ const c = `any "`;\nconst d = 4 / 2;',
    );
    assert.doesNotMatch(code, /any/);
    assert.match(code, /const c = /);
    assert.match(code, /const d = 4 \/ 2;$/);
    assert.equal(comments.trim().replace(/\s+/g, " "), "// any /* as any */");
    assert.match(uncommented, /"\/\/ any";\s*\n/);
  });
});

describe("the repository's documents", { skip: SKIP }, () => {
  test("every relative link leads somewhere", () => {
    const broken = files()
      .filter((file) => file.path.endsWith(".md"))
      .flatMap(brokenLinks);
    assert.deepEqual(broken, []);
  });

  test("a broken link is found", () => {
    const bad = sourceFile(
      "docs/x.md",
      "[a](nowhere.md) [b](../README.md) [c](https://example.org/x.md)",
    );
    assert.deepEqual(brokenLinks(bad), ["docs/x.md: nowhere.md"]);
    assert.deepEqual(brokenLinks(sourceFile("README.md", "[a](README.md#no-such-heading)")), [
      "README.md: README.md#no-such-heading",
    ]);
  });

  test("every file that ARCHITECTURE.md and the decisions name exists", () => {
    const documents = files().filter(
      ({ path }) => path === "ARCHITECTURE.md" || path.startsWith("docs/"),
    );
    assert.ok(documents.length > 1);
    assert.deepEqual(documents.flatMap(missingFiles), []);
  });

  test("a file that does not exist is found", () => {
    assert.deepEqual(
      missingFiles(sourceFile("ARCHITECTURE.md", "`driver/warp.ts` and `src/index.ts`")),
      ["ARCHITECTURE.md: driver/warp.ts"],
    );
  });

  test("README.md fits 150 lines", () => {
    assert.ok(text("README.md").trimEnd().split("\n").length <= 150);
  });

  test("the changelog has this version, the licence its text", () => {
    const { version, license } = manifest();
    assert.match(
      text("CHANGELOG.md"),
      new RegExp(`^## ${version.replaceAll(".", "\\.")}( |$)`, "m"),
    );
    assert.equal(license, "MIT");
    assert.match(text("LICENSE"), /^MIT License\n\nCopyright \(c\) \d{4} the Sluice authors\n/);
    for (const path of ["ARCHITECTURE.md", "HACKING.md", ".ci/run"]) text(path);
  });
});

describe("the package's dependencies", () => {
  test("there is none at run time, and each tool is pinned to one version", () => {
    const { dependencies, devDependencies } = manifest();
    assert.equal(dependencies, undefined, "the core has no run-time dependency");
    const loose = Object.entries(devDependencies).filter(
      ([, range]) => !/^\d+\.\d+\.\d+$/.test(range),
    );
    assert.deepEqual(
      loose,
      [],
      "older npm versions choose older majors where they may: pin exactly",
    );
  });

  test("the lock file names versions and hashes, no places, and is complete", () => {
    const lock: { readonly packages: Readonly<Record<string, LockedPackage>> } = JSON.parse(
      text("package-lock.json"),
    );
    const packages = Object.entries(lock.packages);
    assert.deepEqual(
      packages.filter(([, locked]) => locked.resolved !== undefined),
      [],
    );
    assert.deepEqual(
      packages.filter(([path, locked]) => path !== "" && locked.integrity === undefined),
      [],
    );
    // npm leaves out an optional package that it cannot find, and then `npm ci` refuses the lock.
    const absent = packages.flatMap(([, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).filter(
        (name) => !(`node_modules/${name}` in lock.packages),
      ),
    );
    assert.deepEqual(absent, []);
  });

  test("the lock file is of this package.json", () => {
    const lock: { readonly packages: Readonly<Record<string, LockedPackage>> } = JSON.parse(
      text("package-lock.json"),
    );
    assert.deepEqual(lock.packages[""]?.devDependencies, manifest().devDependencies);
  });
});

interface LockedPackage {
  readonly resolved?: string;
  readonly integrity?: string;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

interface Manifest {
  readonly version: string;
  readonly license: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

function manifest(): Manifest {
  return JSON.parse(text("package.json"));
}

/** Links to files, and to headings in them, that are not there. */
function brokenLinks(file: SourceFile): string[] {
  const links = [...file.text.matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1] ?? "");
  return links
    .filter((link) => !/^[a-z]+:/.test(link))
    .filter((link) => {
      const [path = "", heading] = link.split("#");
      const target = path === "" ? file.path : join(dirname(file.path), path);
      if (statSync(join(ROOT, target), { throwIfNoEntry: false }) === undefined) return true;
      return heading !== undefined && !headings(text(target)).includes(heading);
    })
    .map((link) => `${file.path}: ${link}`);
}

/** As GitHub names them. */
function headings(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.*)$/gm)].map((match) =>
    (match[1] ?? "")
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

/** Names in backquotes that look like files of ours: from the root, from src/, or with a folder left out. */
function missingFiles(file: SourceFile): string[] {
  const named = [...file.text.matchAll(/`([\w./-]+\.(?:ts|md|json))`/g)].map(
    (match) => match[1] ?? "",
  );
  const all = files().map(({ path }) => path);
  return named
    .filter((name) => !all.some((path) => path === name || path.endsWith(`/${name}`)))
    .map((name) => `${file.path}: ${name}`);
}
