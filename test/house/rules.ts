// The repository's own rules. Each says what is banned, what to do instead, and brings a canary: a bad text that it must
// catch, so that a rule which has stopped looking is noticed.

import { lineAt, type SourceFile } from "./source-text.ts";

export interface Rule {
  readonly name: string;
  /** Where, and what is wrong there. */
  check(files: readonly SourceFile[]): string[];
  /** What to do instead: printed with every failure. */
  readonly instead: string;
  /** Files, as path and text, in which the rule must find something. */
  readonly canary: Readonly<Record<string, string>>;
}

/**
 * Which part of src/ may import which: arrows only point down. Types count too, since who needs a type has to know what
 * it means. What stands on no line may import nothing of ours.
 */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  // Leaves: what everybody may know.
  "deferred.ts": [],
  "error-text.ts": [],
  "limits.ts": [],
  "topics.ts": [],
  "slabs.ts": [],
  "checks.ts": ["handlers.ts", "limits.ts", "error-text.ts"],
  "connection-options.ts": ["checks.ts", "sys", "limits.ts"],
  sys: [],
  // Bytes to messages: knows neither the kernel nor a connection.
  codec: ["slabs.ts"],
  driver: ["sys", "slabs.ts"],
  // What users write: its types name a codec, an address, socket options.
  "handlers.ts": ["codec", "sys"],
  reactor: ["driver", "sys", "codec", "handlers.ts", "topics.ts", "limits.ts", "deferred.ts"],
  server: [
    "checks.ts",
    "connection-options.ts",
    "reactor",
    "driver",
    "sys",
    "codec",
    "handlers.ts",
    "topics.ts",
    "limits.ts",
    "deferred.ts",
    "error-text.ts",
  ],
  // A protocol is frames and state machines: no I/O.
  protocol: ["codec", "topics.ts", "limits.ts", "deferred.ts"],
  // The server's side of it.
  service: [
    "checks.ts",
    "protocol",
    "sys",
    "codec",
    "handlers.ts",
    "topics.ts",
    "limits.ts",
    "deferred.ts",
    "error-text.ts",
  ],
  client: [
    "checks.ts",
    "connection-options.ts",
    "protocol",
    "reactor",
    "driver",
    "sys",
    "codec",
    "handlers.ts",
    "topics.ts",
    "limits.ts",
    "deferred.ts",
  ],
  net: [
    "checks.ts",
    "connection-options.ts",
    "server",
    "reactor",
    "driver",
    "sys",
    "codec",
    "handlers.ts",
    "limits.ts",
    "deferred.ts",
  ],
  cli: [
    "checks.ts",
    "error-text.ts",
    "connection-options.ts",
    "lab",
    "net",
    "client",
    "service",
    "protocol",
    "server",
    "driver",
    "sys",
    "codec",
    "handlers.ts",
    "limits.ts",
    "deferred.ts",
  ],
  lab: [
    "checks.ts",
    "connection-options.ts",
    "net",
    "client",
    "service",
    "protocol",
    "server",
    // Only to end a thread as reactors do: the generator drives drivers directly.
    "reactor",
    "driver",
    "sys",
    "codec",
    "handlers.ts",
    "limits.ts",
    "deferred.ts",
  ],
  // The façade names what users import, wherever it lives.
  "index.ts": [
    "lab",
    "net",
    "client",
    "service",
    "protocol",
    "server",
    "driver",
    "sys",
    "codec",
    "handlers.ts",
    "limits.ts",
  ],
};

const DRIVER_NAME = /(["'`])(?:io_uring|epoll|portable|simulated|blocking)\1/g;
/** Where a driver's name may stand above driver/, and why. */
const DRIVER_NAMES_ALLOWED: Readonly<Record<string, string>> = {};

/** State of a module that may change, and why it must be one of the module. */
export const MUTABLE_ALLOWED: Readonly<Record<string, string>> = {
  "src/sys/native-library.ts opened":
    "the library is opened once a thread, and so is the reason why it cannot be",
  "src/sys/socket-calls.ts page":
    "one scratch page a thread, for the arguments of the call in progress",
  "src/client/thread-wire.ts thread":
    "the SWP clients of a thread share the memory that frames are put together in, and one timer",
  "src/client/outgoing.ts reactors":
    "outgoing connections that have nothing in common but their thread share its reactor",
  "src/reactor/compilation.ts starting": "flags of V8 are the process's",
  "src/reactor/thread-loop.ts waiting":
    "the loops that share a thread know of each other by nothing but the thread",
};

export const LONGEST_FILE = 400;
/** Files that are longer, with the length they may have and why. Shorten one, and take it out here. */
export const LONGER_ALLOWED: Readonly<Record<string, readonly [lines: number, why: string]>> = {
  "src/reactor/reactor.ts": [450, "a turn, connections of both directions, the driver's events"],
};

/** What the names of folders and files must not be. */
const EMPTY_NAMES = /(^|[/\-.])(utils?|helpers?|manager|misc|common|shared|stuff|base)(?=[/\-.])/i;

export const RULES: readonly Rule[] = [
  {
    name: "imports between layers point down",
    instead:
      "move what is needed further down, or hand it in from above; the order stands in ARROWS",
    canary: {
      "src/driver/x.ts":
        '// .\nimport type { Limits } from "../limits.ts";\nimport "../reactor/y.ts";',
    },
    check: (files) => files.filter(inSrc).flatMap(wrongArrows),
  },
  {
    name: "only src/sys touches node:ffi, pointers and the native table",
    instead: "add one thin function to src/sys that returns a count or −errno, and call that",
    canary: {
      "src/driver/x.ts": '// .\nimport { nativeLibrary } from "../sys/native-library.ts";',
    },
    check: (files) =>
      files
        .filter((file) => inSrc(file) && !file.path.startsWith("src/sys/"))
        .flatMap((file) => [
          ...matches(
            file,
            file.code,
            /\b(nativeLibrary|viewMemory|getRawPointer|toArrayBuffer)\b/g,
          ),
          ...matches(file, file.uncommented, /(?:\bfrom|\(|\bimport)\s*"node:ffi"/g),
        ]),
  },
  {
    name: "no driver's name above src/driver",
    instead:
      "ask `driver.capabilities`, or add a flag to DriverCapabilities that says what matters",
    canary: { "src/reactor/x.ts": '// .\nexport const slow = (name: string) => name === "epoll";' },
    check: (files) =>
      files
        .filter((file) => inSrc(file) && !/^src\/(driver|sys)\//.test(file.path))
        .filter((file) => !(file.path in DRIVER_NAMES_ALLOWED))
        .flatMap((file) => matches(file, file.uncommented, DRIVER_NAME)),
  },
  {
    name: "no barrels",
    instead: "import from the file that defines it; src/index.ts is the one façade",
    canary: {
      "src/codec/index.ts": '// .\nexport { raw } from "./raw.ts";\nexport * from "./lines.ts";',
    },
    check: (files) =>
      files
        .filter((file) => inSrc(file) && file.path !== "src/index.ts")
        .filter((file) => /\bexport\b/.test(file.code) && onlyExportsFrom(file.code))
        .map((file) => `${file.path} only re-exports`),
  },
  {
    name: "no any, and no checks turned off",
    instead:
      "`unknown` and a check, a type parameter, or one typed function around the untyped call",
    canary: { "src/x.ts": "// .\nexport const wrong = JSON.parse('1') as any; // @ts-ignore" },
    check: (files) =>
      files
        .filter(isTypeScript)
        .flatMap((file) => [
          ...matches(file, file.code, /[:<|&]\s*any\b(?!\s*:)|\bas any\b|\bany\[\]/g),
          ...matches(
            file,
            file.comments,
            /@ts-(?:ignore|nocheck)|@ts-expect-error(?!:? \S.{8})|biome-ignore(?![^:]*: \S)/g,
          ),
        ]),
  },
  {
    name: "no non-null assertion",
    instead:
      "a check that throws with a sentence, `?? default`, or `as T` where the index is bounded above",
    canary: { "src/x.ts": "// .\nexport const first = (list: number[] | undefined) => list![0];" },
    check: (files) =>
      files.filter(isTypeScript).flatMap((file) => matches(file, file.code, /[\w)\]]!(?!=)/g)),
  },
  {
    name: "no enum, no namespace",
    instead: "`const` numbers or a union of strings: what is written must run by stripping types",
    canary: { "src/x.ts": "// .\nexport enum Color { Red }" },
    check: (files) =>
      files
        .filter(isTypeScript)
        .flatMap((file) => matches(file, file.code, /\b(?:enum|namespace)\s+\w+\s*\{/g)),
  },
  {
    name: "no silence about errors",
    instead:
      "handle it or let it pass; where nothing is to be done, a comment in the braces says why",
    canary: {
      "src/x.ts":
        "// .\n\n\n\n\nexport const x = (p: Promise<void>) => p.catch(() => {});\ntry { x; } catch {}",
    },
    check: (files) => files.filter(isTypeScript).flatMap(silences),
  },
  {
    name: "files are named for what they are",
    instead: "the noun or verb of the field that is in there; two of them are two files",
    canary: { "src/server/socket-utils.ts": "// ." },
    check: (files) =>
      files
        .filter((file) => EMPTY_NAMES.test(file.path))
        .map((file) => `${file.path} says nothing`),
  },
  {
    name: "nothing is left to do in a comment",
    instead: "do it now, or open an issue and name it: (issue 12)",
    canary: { "src/x.ts": "// .\n// TODO: later" },
    check: (files) =>
      files
        .filter(isTypeScript)
        .flatMap((file) =>
          matches(file, file.comments, /\b(?:TODO|FIXME|XXX|HACK)\b(?!.*\(issue \d+\))/g),
        ),
  },
  {
    name: `files fit a sitting: ${LONGEST_FILE} lines`,
    instead: "take out what has a name of its own",
    canary: { "src/x.ts": `// .\n${"f();\n".repeat(LONGEST_FILE)}` },
    check: (files) =>
      files
        .filter((file) => isTypeScript(file) && /^(src|examples|scripts)\//.test(file.path))
        .flatMap(tooLong),
  },
  {
    name: "files open with what they are and why",
    instead: "a comment on the first line: what it is, why it is, its twist, its invariant",
    canary: { "src/x.ts": "export const x = 1;" },
    check: (files) =>
      files
        .filter((file) => isTypeScript(file) && !/^(#!.*\n)?\/[/*]/.test(file.text))
        .map((file) => `${file.path} does not open with a comment`),
  },
  {
    name: "no state in modules",
    instead:
      "a field of what owns it, made by whoever starts it; several servers live in one process",
    canary: {
      "src/x.ts":
        "// .\nlet count = 0;\nexport const seen = new Set<string>();\nexport const list: string[] = [];",
    },
    check: (files) => files.filter(inSrc).flatMap(moduleState),
  },
  {
    name: "no machine and no registry in any text",
    instead: "a path from the repository's root, os.tmpdir(), the name of the package",
    // In pieces, so that this file does not break its own rule.
    canary: { "docs/x.md": ["see /ro", "ot/notes and https://regi", "stry.npmjs.org/x"].join("") },
    check: (files) =>
      files
        .filter((file) => file.path !== "test/house/rules.ts")
        .flatMap((file) =>
          matches(
            file,
            file.text,
            /(?<![\w.])\/(?:work|root|home|Users)\/\w|\bregistry\.\w+\.\w+|"resolved":/g,
          ),
        ),
  },
];

function inSrc(file: SourceFile): boolean {
  return file.path.startsWith("src/") && file.path.endsWith(".ts");
}

function isTypeScript(file: SourceFile): boolean {
  return file.path.endsWith(".ts");
}

function matches(file: SourceFile, text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map(
    (match) => `${file.path}:${lineAt(text, match.index)} ${match[0].trim()}`,
  );
}

function wrongArrows(file: SourceFile): string[] {
  const from = partOf(file.path);
  const allowed = ARROWS[from];
  if (allowed === undefined) return [`${file.path}: ARROWS has no line for ${from}`];
  const imports = file.uncommented.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*"(\.[^"]*)"/g);
  return [...imports].flatMap((match) => {
    const target = new URL(match[1] ?? "", `file:///${file.path}`).pathname.slice(1);
    const to = partOf(target);
    if (to === from || allowed.includes(to)) return [];
    return [`${file.path}:${lineAt(file.text, match.index)} imports ${target}: ${from} → ${to}`];
  });
}

/** `driver` for src/driver/handle.ts, `limits.ts` for src/limits.ts. */
function partOf(path: string): string {
  return path.split("/")[1] ?? path;
}

function onlyExportsFrom(code: string): boolean {
  const rest = code.replace(
    /\bexport\s+(?:type\s+)?(?:\*(?:\s+as\s+\w+)?|\{[^}]*\})\s*from\s*"[^"]*";?/g,
    "",
  );
  return rest.trim() === "";
}

function silences(file: SourceFile): string[] {
  const caught =
    /\bcatch\s*(?:\([^)]*\)\s*)?\{\s*\}|\.catch\(\s*\(\w*\)\s*=>\s*(?:\{\s*\}|undefined|null)\s*,?\s*\)/g;
  return [...file.code.matchAll(caught)].flatMap((match) => {
    const line = lineAt(file.text, match.index);
    const end = lineAt(file.text, match.index + match[0].length);
    // Inside the braces, or in the lines right above.
    const said =
      file.comments
        .split("\n")
        .slice(Math.max(0, line - 4), end)
        .join("")
        .trim() !== "";
    return said ? [] : [`${file.path}:${line} ${match[0]}`];
  });
}

function tooLong(file: SourceFile): string[] {
  const [most] = LONGER_ALLOWED[file.path] ?? [LONGEST_FILE];
  const lines = file.text.trimEnd().split("\n").length;
  return lines > most ? [`${file.path} has ${lines} lines, it may have ${most}`] : [];
}

/** Top-level bindings that can change, or hold what can. */
function moduleState(file: SourceFile): string[] {
  const changing = /^(?:export )?(?:let|var) (\w+)/gm;
  const holding =
    /^(?:export )?const (\w+)[^=;]*= (?:new (?:Map|Set|WeakMap|WeakSet|Array)(?:<[^;]*>)?\(\)|\[\];|\{\};|new \w+Array(?:<\w+>)?\(\w)/gm;
  const found = [...file.code.matchAll(changing), ...file.code.matchAll(holding)];
  return found
    .filter(([, name]) => !(`${file.path} ${name}` in MUTABLE_ALLOWED))
    .map((match) => `${file.path}:${lineAt(file.code, match.index)} ${match[1]}`);
}
