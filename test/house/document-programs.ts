// The programs in the documents, as files: one whose first line is `// NAME.ts`, with or without more, is the file of that name,
// and others of the same document may import it.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export interface Program {
  readonly file: string;
  readonly source: string;
}

/** Those of a document, in their order. */
export function programsOf(document: string): Program[] {
  const markdown = readFileSync(join(ROOT, document), "utf8");
  return [...markdown.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, source = ""], index) => ({
    file: /^\/\/ ([\w-]+\.ts)\b/.exec(source)?.[1] ?? `program-${index + 1}.ts`,
    source,
  }));
}

/** Where in this source lies what the package exports: `sluice/client` and so on, to a path. */
export function exportedSources(): ReadonlyMap<string, string> {
  const { exports }: { exports: Record<string, { readonly types?: string }> } = JSON.parse(
    readFileSync(join(ROOT, "package.json"), "utf8"),
  );
  return new Map(
    Object.entries(exports).flatMap(([path, { types }]) => {
      if (types === undefined) return [];
      const source = types.replace("./dist/", "src/").replace(/\.d\.ts$/, ".ts");
      return [[path.replace(".", "sluice"), join(ROOT, source)]];
    }),
  );
}
