// The package as a user gets it: packed, installed into an empty project without a network, and serving real bytes,
// also from Workers, where published JavaScript has to find its own files.
//
// It is built and packed in a folder of its own: neither this repository's dist/ nor a test beside it matters.

import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const BIN = join(ROOT, "node_modules", ".bin");
/** The Node that runs this test is the one that everything in here finds first. */
const ENVIRONMENT = {
  ...process.env,
  PATH: [dirname(process.execPath), BIN, process.env.PATH].join(delimiter),
};

const ECHO = `
import { threadId } from "node:worker_threads";
import { handlers, lines } from "sluice";

export default handlers({
  codec: lines(),
  opened(connection) { connection.send("thread " + threadId); },
  message(connection, line) { connection.send(line.toUpperCase()); },
});
`;

const PROGRAM = `
import { serve } from "sluice";
import { lengthPrefix } from "sluice/codec/length-prefix";

const server = await serve({
  codec: lengthPrefix({ header: "u16" }),
  message(connection, bytes: Buffer) { connection.send(bytes); },
});
if (server.address.family === "unix") throw new Error("asked for a port");
const port: number = server.address.port;
console.log(JSON.stringify({ event: "listening", address: { port }, threads: server.threads }));
process.once("SIGTERM", () => server.close());
`;

describe("the packed package", { timeout: 120_000 }, () => {
  let folder = "";
  let project = "";
  let tarball = "";

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "sluice-package-"));
    const stage = join(folder, "stage");
    mkdirSync(stage);
    for (const name of ["package.json", "README.md", "CHANGELOG.md", "LICENSE"]) {
      cpSync(join(ROOT, name), join(stage, name));
    }
    run(process.execPath, [join(ROOT, "scripts/build.ts"), join(stage, "dist")], ROOT);
    run("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], stage);
    tarball = join(folder, `sluice-${manifest(stage).version}.tgz`);
    project = join(folder, "project");
    mkdirSync(project);
    writeFileSync(join(project, "package.json"), '{ "private": true, "type": "module" }');
    run("npm", ["install", "--offline", "--no-audit", "--no-fund", tarball], project);
    writeFileSync(join(project, "echo.ts"), ECHO);
    writeFileSync(join(project, "echo.js"), ECHO);
    writeFileSync(join(project, "program.ts"), PROGRAM);
  });

  after(() => rmSync(folder, { recursive: true, force: true }));

  test("brings nothing along and runs nothing when it is installed", () => {
    const installed = manifest(join(project, "node_modules/sluice"));
    assert.deepEqual(readdirSync(join(project, "node_modules")).sort(), [
      ".bin",
      ".package-lock.json",
      "sluice",
    ]);
    for (const kind of ["dependencies", "optionalDependencies", "bundleDependencies"]) {
      assert.equal(kind in installed, false, `package.json has ${kind}: the core has none`);
    }
    // What its types are written with, for who compiles against them; whoever runs JavaScript needs nothing.
    assert.deepEqual(installed.peerDependencies, { "@types/node": ">=20" });
    assert.deepEqual(installed.peerDependenciesMeta, { "@types/node": { optional: true } });
    for (const script of ["preinstall", "install", "postinstall", "prepare"]) {
      assert.equal(script in installed.scripts, false, `package.json has a ${script} script`);
    }
  });

  test("holds what is run and read, and nothing else", () => {
    const files = readdirSync(join(project, "node_modules/sluice")).sort();
    assert.deepEqual(files, ["CHANGELOG.md", "LICENSE", "README.md", "dist", "package.json"]);
    const published = readdirSync(join(project, "node_modules/sluice/dist"), { recursive: true });
    const others = published
      .map(String)
      .filter((name) => /\.[^/]*$/.test(name) && !/\.(js|d\.ts)$/.test(name));
    // What the lab's report puts into its page.
    assert.deepEqual(others.sort(), ["lab/report/page.css", "lab/report/uplot/dist/uPlot.min.css"]);
  });

  test("sluice lab finds what its page is made of", () => {
    const command = join(project, "node_modules/sluice/dist/cli/main.js");
    const args = ["lab", "race", "--quick", "--rounds", "1", "--out", "lab.html"];
    run(process.execPath, [command, ...args], project);
    const page = readFileSync(join(project, "lab.html"), "utf8");
    assert.match(page, /<script>\/\*\nThe MIT License[\s\S]*uPlot/);
  });

  test("every sub-path that it exports can be imported", () => {
    const paths = Object.keys(manifest(join(project, "node_modules/sluice")).exports)
      .filter((path) => path !== "./package.json")
      .map((path) => path.replace(".", "sluice"));
    assert.ok(paths.length > 5);
    const program = `for (const path of ${JSON.stringify(paths)}) {
      if (Object.keys(await import(path)).length === 0) throw new Error(path + " exports nothing");
    }`;
    run(process.execPath, ["--input-type=module", "--eval", program], project);
  });

  test("publint and attw accept it", () => {
    run(process.execPath, [join(BIN, "publint"), "run", "--strict", tarball], ROOT);
    const attw = ["--no-definitely-typed", "--profile", "esm-only", tarball];
    run(process.execPath, [join(BIN, "attw"), ...attw], ROOT);
  });

  test("its types hold in a strict project that checks libraries too", () => {
    const options = {
      strict: true,
      noEmit: true,
      module: "nodenext",
      target: "esnext",
      skipLibCheck: false,
      types: ["node"],
      typeRoots: [join(ROOT, "node_modules/@types")],
    };
    const config = { compilerOptions: options, files: ["echo.ts", "program.ts"] };
    writeFileSync(join(project, "tsconfig.json"), JSON.stringify(config));
    run(process.execPath, [join(BIN, "tsc"), "--project", project], project);
  });

  test("npx finds its command", () => {
    assert.match(run("npx", ["--no-install", "sluice", "--version"], project), /^\d+\.\d+\.\d+\n$/);
  });

  test("sluice serve echoes", async () => {
    await withServer(
      ["npx", "--no-install", "sluice", "serve", "--threads", "2"],
      project,
      async (at) => {
        assert.equal(at.threads, 2);
        const bytes = Buffer.from(
          Array.from({ length: 300_000 }, (_, index) => (index * 31) & 0xff),
        );
        const answer = await exchange(at.port, bytes);
        assert.ok(answer.equals(bytes));
      },
    );
  });

  for (const file of ["echo.ts", "echo.js"]) {
    test(`sluice serve ${file} runs a user's handlers on several threads`, async () => {
      const command = [
        process.execPath,
        "node_modules/.bin/sluice",
        "serve",
        file,
        "--threads",
        "3",
      ];
      await withServer(command, project, async (at) => {
        assert.equal(at.threads, 3);
        const threads = new Set<string>();
        // Which thread accepts is the kernel's choice: ask until a second one has answered.
        for (let asked = 0; asked < 500 && threads.size < 2; asked += 20) {
          const answers = Array.from({ length: 20 }, () => exchange(at.port, Buffer.from("abc\n")));
          for (const answer of await Promise.all(answers)) {
            const [first = "", second = ""] = String(answer).split("\n");
            assert.match(first, /^thread [1-9]\d*$/);
            assert.equal(second, "ABC");
            threads.add(first);
          }
        }
        assert.ok(threads.size >= 2, `all connections went to ${[...threads].join(", ")}`);
      });
    });
  }

  test("serve() in a program of the user's", async () => {
    await withServer([process.execPath, "program.ts"], project, async (at) => {
      const frame = Buffer.from("\0\u0005hello");
      assert.deepEqual(await exchange(at.port, frame), frame);
    });
  });
});

interface Manifest {
  readonly version: string;
  readonly exports: Readonly<Record<string, unknown>>;
  readonly scripts: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional: boolean }>>;
}

function manifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
}

/** Runs to the end and returns stdout; fails with all that was said. */
function run(command: string, args: readonly string[], cwd: string): string {
  try {
    return execFileSync(command, args, { cwd, env: ENVIRONMENT, encoding: "utf8", stdio: "pipe" });
  } catch (error) {
    const said = error instanceof Error && "stdout" in error ? String(error.stdout) : "";
    throw new Error(`${command} ${args.join(" ")}: ${String(error)}\n${said}`);
  }
}

interface ServerAt {
  readonly port: number;
  readonly threads: number;
}

/** Starts a server on a port of the system's choice, uses it, and sees it end when asked. */
async function withServer(
  command: readonly string[],
  cwd: string,
  use: (at: ServerAt) => Promise<void>,
): Promise<void> {
  const [program = "", ...args] = command;
  const serves = args.includes("serve") ? ["--port", "0", "--json"] : [];
  const child = spawn(program, [...args, ...serves], {
    cwd,
    env: ENVIRONMENT,
    stdio: ["ignore", "pipe", "pipe"],
    // npx is a shell or two away from the server: the signal goes to all of them.
    detached: true,
  });
  const errors: string[] = [];
  child.stderr.setEncoding("utf8").on("data", (text: string) => errors.push(text));
  // npx itself dies of the signal, so its code says nothing: the server's last line does, and the end of its output.
  const exited = once(child, "close");
  const lines: string[] = [];
  try {
    const output = createInterface(child.stdout).on("line", (line) => lines.push(line));
    const [line] = await Promise.race([
      once(output, "line"),
      exited.then(() => Promise.reject(new Error(`it ended: ${errors.join("")}`))),
    ]);
    const said: { readonly address: { readonly port: number }; readonly threads: number } =
      JSON.parse(line);
    await use({ port: said.address.port, threads: said.threads });
    signal(child, "SIGTERM");
    const [code] = await exited;
    if (program !== "npx") assert.equal(code, 0, errors.join(""));
    if (serves.length > 0)
      assert.equal(lines.at(-1), '{"event":"closed","clean":true}', errors.join(""));
  } finally {
    if (child.exitCode === null && child.signalCode === null) signal(child, "SIGKILL");
  }
}

function signal(child: ChildProcess, name: NodeJS.Signals): void {
  if (child.pid !== undefined) process.kill(-child.pid, name);
}

/** Sends bytes, ends, and resolves with everything that comes back until the server ends too. */
async function exchange(port: number, bytes: Buffer): Promise<Buffer> {
  const socket = connect(port, "127.0.0.1");
  socket.end(bytes);
  return Buffer.concat(await socket.toArray());
}
