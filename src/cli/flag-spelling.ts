// Errors of serve's options as who uses the command line knows them: its flags instead of the names of the API.

const FLAGS: readonly (readonly [RegExp, string])[] = [
  [/\blimits\.connections is\b/, "--connections is"],
  [/\blimits\.idleMs\b/, "--idle-ms"],
  [/\bRaise threads\b/, "Raise --threads"],
  [/\bleave out (driver|balance)\b/, "leave out --$1"],
  [/\bchoose threads: 1\b/, "choose --threads 1"],
  [/\bthreads: 1\b/, "--threads 1"],
  [/^computeThreads must\b/, "--compute-threads must"],
  [/^(threads|pin|depth|path|host|port|balance)(?=: | must | cannot )/, "--$1"],
];

export function flagSpelling(text: string): string {
  return FLAGS.reduce((spelt, [name, flag]) => spelt.replace(name, flag), text);
}
