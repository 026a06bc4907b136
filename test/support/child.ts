// A child process whose output is kept, line by line, and which never outlives its test.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { until } from "./until.ts";

/** The command line of this project. */
export const CLI = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class Child {
  readonly process: ChildProcess;
  stdout = "";
  stderr = "";
  ended: Ended | undefined;

  private constructor(process: ChildProcess) {
    this.process = process;
    process.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
    });
    process.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
    process.on("close", (code, signal) => {
      this.ended = { code, signal };
    });
  }

  static start(t: TestContext, command: string, args: readonly string[], env = {}): Child {
    const child = new Child(
      spawn(command, args, {
        stdio: ["pipe", "pipe", "pipe", "ipc"],
        env: { ...process.env, NODE_OPTIONS: "", NO_COLOR: "1", ...env },
      }),
    );
    child.process.on("error", (error) => {
      child.stderr += String(error);
      child.ended ??= { code: null, signal: null };
    });
    t.after(() => child.kill("SIGKILL"));
    return child;
  }

  /** The same Node that runs the test. */
  static node(t: TestContext, args: readonly string[], env = {}): Child {
    return Child.start(t, process.execPath, args, env);
  }

  static cli(t: TestContext, ...args: string[]): Child {
    return Child.node(t, [CLI, ...args]);
  }

  get pid(): number {
    return this.process.pid ?? -1;
  }

  get stderrLines(): string[] {
    return this.stderr.split("\n").filter((line) => line !== "");
  }

  get stdoutLines(): string[] {
    return this.stdout.split("\n").filter((line) => line !== "");
  }

  /** Waits for a match in its output. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    let match: RegExpExecArray | null = null;
    await until(
      () => {
        match = pattern.exec(this.stdout);
        return match !== null || this.ended !== undefined;
      },
      () => `${pattern} in the output ${this.story()}`,
    );
    if (match === null) throw new Error(`it ended without ${pattern}: ${this.story()}`);
    return match;
  }

  async exit(): Promise<Ended> {
    await until(
      () => this.ended !== undefined,
      () => `the end of the process: ${this.story()}`,
    );
    return this.ended ?? { code: null, signal: null };
  }

  kill(signal: NodeJS.Signals): void {
    if (this.ended === undefined) this.process.kill(signal);
  }

  /** Sends a message and waits for the answer. */
  async ask<Answer>(message: string): Promise<Answer> {
    const answer = once(this.process, "message");
    this.process.send?.(message);
    const [value] = await answer;
    return value as Answer;
  }

  story(): string {
    return JSON.stringify({ stdout: this.stdout, stderr: this.stderr, ended: this.ended });
  }
}
