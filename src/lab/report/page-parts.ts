// The files that are put into the report's page: uPlot, our script and our style. As published they stand beside this file
// (scripts/build.ts copies them); while developing, uPlot is in node_modules.

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

export interface PageParts {
  readonly plotter: string;
  readonly plotterStyle: string;
  /** Who copies it has to copy this. */
  readonly plotterLicense: string;
  readonly script: string;
  readonly style: string;
}

export function readPageParts(): PageParts {
  return {
    plotter: readFileSync(plotterFile("dist/uPlot.iife.min.js"), "utf8"),
    plotterStyle: readFileSync(plotterFile("dist/uPlot.min.css"), "utf8"),
    plotterLicense: readFileSync(plotterFile("LICENSE"), "utf8"),
    script: own("page.js"),
    style: own("page.css"),
  };
}

function own(name: string): string {
  return readFileSync(new URL(name, import.meta.url), "utf8");
}

function plotterFile(name: string): string {
  const beside = fileURLToPath(new URL(`uplot/${name}`, import.meta.url));
  if (existsSync(beside)) return beside;
  const manifest = createRequire(import.meta.url).resolve("uplot/package.json");
  return manifest.replace(/package\.json$/, name);
}
