// The repository as text, for its own rules: every file that is (or is about to be) committed, with its code apart from
// its comments and strings, so that a rule about code does not trip over a word in a sentence.

import { execFileSync } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";

export interface SourceFile {
  /** From the repository's root. */
  readonly path: string;
  readonly text: string;
  /** The text with comments blanked; line and column stay what they were. */
  readonly uncommented: string;
  /** The text with comments and the contents of strings blanked. */
  readonly code: string;
  /** The text with all but comments blanked. */
  readonly comments: string;
}

const TEXT =
  /(^|\/)[^/]*\.(ts|js|mjs|json|jsonc|md|c|h|sh|yml|yaml|toml)$|^\.ci\/|^LICENSE$|\.gitignore$|\.npmrc$/;

export function sourceFile(path: string, text: string): SourceFile {
  const apart = path.endsWith(".ts") ? separate(text) : { uncommented: "", code: "", comments: "" };
  return { path, text, ...apart };
}

/** All text files that git knows or would add, or why they cannot be listed. */
export function repositoryFiles(root: string): readonly SourceFile[] | string {
  let listed: string;
  try {
    const args = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
    listed = execFileSync("git", args, { cwd: root, encoding: "utf8", stdio: "pipe" });
  } catch (error) {
    return `git cannot list the files: ${error instanceof Error ? error.message : String(error)}`;
  }
  const paths = [...new Set(listed.split("\0"))].filter((path) => TEXT.test(path));
  // What was deleted and not yet committed is still listed.
  const present = paths.filter((path) =>
    statSync(join(root, path), { throwIfNoEntry: false })?.isFile(),
  );
  return present.sort().map((path) => sourceFile(path, readFileSync(join(root, path), "utf8")));
}

/** The 1-based line of an offset. */
export function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split("\n").length;
}

/** After one of these, a slash begins a regular expression. */
const BEFORE_EXPRESSION = /(?:^|[(,=:[!&|?{};+>]|\breturn|\bcase|\btypeof)$/;

function separate(text: string): Pick<SourceFile, "uncommented" | "code" | "comments"> {
  const uncommented = text.split("");
  const code = text.split("");
  const comments = blanked(text, 0, text.length);
  let at = 0;
  while (at < text.length) {
    const start = at;
    const one = text[at] ?? "";
    const two = text.slice(at, at + 2);
    if (two === "//" || two === "/*") {
      at = endOfComment(text, at);
      uncommented.splice(start, at - start, ...blanked(text, start, at));
      code.splice(start, at - start, ...blanked(text, start, at));
      comments.splice(start, at - start, ...text.slice(start, at).split(""));
    } else if (one === '"' || one === "'" || one === "`") {
      at = endOfQuoted(text, at, one);
      code.splice(start + 1, at - start - 2, ...blanked(text, start + 1, at - 1));
    } else if (one === "/" && BEFORE_EXPRESSION.test(codeBefore(code, at))) {
      at = endOfExpression(text, at);
      if (at > start + 1)
        code.splice(start + 1, at - start - 2, ...blanked(text, start + 1, at - 1));
    } else {
      at++;
    }
  }
  return { uncommented: uncommented.join(""), code: code.join(""), comments: comments.join("") };
}

/** Spaces for every unit but the ends of lines. */
function blanked(text: string, from: number, to: number): string[] {
  return text.slice(from, to).replace(/[^\n]/g, " ").split("");
}

function codeBefore(code: readonly string[], at: number): string {
  return code
    .slice(Math.max(0, at - 60), at)
    .join("")
    .trimEnd();
}

function endOfComment(text: string, start: number): number {
  const close = text.startsWith("//", start)
    ? text.indexOf("\n", start)
    : text.indexOf("*/", start + 2) + 2;
  return close < start + 2 ? text.length : close;
}

/** Behind the closing quote. What stands in a template's `${}` counts as its text: rules do without it. */
function endOfQuoted(text: string, start: number, quote: string): number {
  let depth = 0;
  for (let at = start + 1; at < text.length; at++) {
    const one = text[at];
    if (one === "\\") at++;
    else if (quote === "`" && one === "$" && text[at + 1] === "{") depth++;
    else if (depth > 0 && one === "}") depth--;
    else if (depth === 0 && one === quote) return at + 1;
  }
  return text.length;
}

function endOfExpression(text: string, start: number): number {
  let inClass = false;
  for (let at = start + 1; at < text.length && text[at] !== "\n"; at++) {
    const one = text[at];
    if (one === "\\") at++;
    else if (one === "[") inClass = true;
    else if (one === "]") inClass = false;
    else if (one === "/" && !inClass) return at + 1;
  }
  return start + 1;
}
