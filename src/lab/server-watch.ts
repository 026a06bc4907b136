// The target's own side, where its processes run on this machine: what they used between two instants.

import { networkInterfaces } from "node:os";
import type { Address } from "../sys/address.ts";
import {
  listeningProcesses,
  type ProcessReading,
  readProcess,
  type ThreadReading,
} from "./proc.ts";
import type { ProcessFigures, ServerFigures } from "./result.ts";

/** A moment's reading of all processes of the target. */
export interface ServerReading {
  readonly atMs: number;
  readonly processes: readonly ProcessReading[];
  readonly cpuMs: number;
  readonly memoryBytes: number;
  readonly threads: number;
}

export class ServerWatch {
  readonly #find: () => readonly number[];
  #begin: ServerReading | undefined;
  #peakBytes = 0;

  /** `find` gives the processes' ids, each time anew: a server may start more of them. */
  constructor(find: () => readonly number[]) {
    this.#find = find;
  }

  /** Of whoever listens at an address of this machine; undefined when nobody is found. */
  static at(address: Address): ServerWatch | undefined {
    if (!isHere(address)) return undefined;
    const pids = listeningProcesses(address).filter((pid) => pid !== process.pid);
    return pids.length === 0 ? undefined : new ServerWatch(() => pids);
  }

  /** Undefined when all have ended. */
  read(): ServerReading | undefined {
    const processes = this.#find().flatMap((pid) => readProcess(pid) ?? []);
    if (processes.length === 0) return undefined;
    const sum = (figure: (reading: ProcessReading) => number) =>
      processes.reduce((total, reading) => total + figure(reading), 0);
    const memoryBytes = sum((reading) => reading.memoryBytes);
    this.#peakBytes = Math.max(this.#peakBytes, memoryBytes);
    return {
      atMs: performance.now(),
      processes,
      cpuMs: sum((reading) => reading.cpuMs),
      memoryBytes,
      threads: sum((reading) => reading.threads.length),
    };
  }

  /** A window begins. */
  begin(): ServerReading | undefined {
    this.#peakBytes = 0;
    this.#begin = this.read();
    return this.#begin;
  }

  /** What was used since `begin`; null when there is nobody to ask. */
  figures(end: ServerReading | undefined, messages: number): ServerFigures | null {
    const begin = this.#begin;
    if (begin === undefined || end === undefined) return null;
    const processes = end.processes.map((reading) =>
      between(
        begin.processes.find(({ pid }) => pid === reading.pid),
        reading,
      ),
    );
    const threads = processes.flatMap((figures) => figures.threads);
    const cpuMs = Math.max(end.cpuMs - begin.cpuMs, 0);
    const wallMs = end.atMs - begin.atMs;
    return {
      processes,
      cpuMs,
      busy: wallMs > 0 ? cpuMs / wallMs : 0,
      cpuUsPerMessage: messages > 0 ? (cpuMs * 1000) / messages : 0,
      memoryBytes: end.memoryBytes,
      peakMemoryBytes: this.#peakBytes,
      threads: end.threads,
      descriptors: processes.reduce((sum, { descriptors }) => sum + descriptors, 0),
      voluntarySwitches: threads.reduce((sum, thread) => sum + thread.voluntarySwitches, 0),
      involuntarySwitches: threads.reduce((sum, thread) => sum + thread.involuntarySwitches, 0),
    };
  }
}

/** A thread that began within the window has used all that it has used. */
function between(before: ProcessReading | undefined, after: ProcessReading): ProcessFigures {
  const { pid, command, memoryBytes, descriptors } = after;
  const threads = after.threads.map((thread) => {
    const earlier = before?.threads.find(({ id }) => id === thread.id);
    const used = (figure: (reading: ThreadReading) => number) =>
      figure(thread) - (earlier === undefined ? 0 : figure(earlier));
    return {
      id: thread.id,
      name: thread.name,
      cpuMs: used(({ cpuMs }) => cpuMs),
      keptWaitingMs: used(({ keptWaitingMs }) => keptWaitingMs),
      voluntarySwitches: used(({ voluntarySwitches }) => voluntarySwitches),
      involuntarySwitches: used(({ involuntarySwitches }) => involuntarySwitches),
    };
  });
  return { pid, command, memoryBytes, descriptors, threads };
}

function isHere(address: Address): boolean {
  if (address.family === "unix") return true;
  if (address.host.startsWith("127.") || address.host === "::1") return true;
  const own = Object.values(networkInterfaces()).flatMap((rows) => rows ?? []);
  return own.some((row) => row.address === address.host);
}
