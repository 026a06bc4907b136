// `npm run build [-- DIRECTORY]`: makes dist/ (or DIRECTORY), which is what is published.
//
// Plain tsc output, file by file: what runs in production can be read beside its source, and a worker's entry lies
// where `import.meta.url` says it does. Nothing is bundled.

import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const out = resolve(process.argv[2] ?? join(root, "dist"));

// A file that was renamed must not live on in the package.
rmSync(out, { recursive: true, force: true });

const typescript = createRequire(import.meta.url).resolve("typescript/package.json");
const compiler = join(typescript, "..", "bin", "tsc");
const compiled = spawnSync(
  process.execPath,
  [compiler, "--project", join(root, "tsconfig.build.json"), "--outDir", out],
  { stdio: "inherit" },
);
if (compiled.status !== 0) process.exit(compiled.status ?? 1);

const command = join(out, "cli", "main.js");
if (!readFileSync(command, "utf8").startsWith("#!/usr/bin/env node\n")) {
  throw new Error(`${command} must begin with its #! line: it is the package's command`);
}
chmodSync(command, 0o755);

const report = join("lab", "report");
const parts = ["page.js", "page.css"].map((name) => [join(root, "src", report, name), name]);
const plotter = dirname(createRequire(import.meta.url).resolve("uplot/package.json"));
const plotterParts = ["dist/uPlot.iife.min.js", "dist/uPlot.min.css", "LICENSE"];
for (const [from, name] of [
  ...parts,
  ...plotterParts.map((name) => [join(plotter, name), join("uplot", name)]),
] as [from: string, name: string][]) {
  const to = join(out, report, name);
  mkdirSync(dirname(to), { recursive: true });
  cpSync(from, to);
}
