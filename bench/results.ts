// What was measured, as it is kept in results.json; each part carries its own date, command and machine.
import type { Quantiles } from "./load.ts";
import type { Machine } from "./machine.ts";

export interface Provenance {
  readonly date: string;
  readonly command: string;
  readonly rounds: number;
  readonly seconds: number;
  readonly machine: Machine;
}

export interface Measurement {
  readonly server: string;
  readonly round: number;
  /** Its place among all bursts of the round; left out where a round has one measurement of each server. */
  readonly burst?: number;
  readonly messagesPerSecond: number;
  readonly cpuUsPerMessage: number;
  readonly latencyUs: Quantiles;
  /** Open loop only: how late the generator sent. */
  readonly latenessUs?: Quantiles;
  /** Shares of the window. Kept waiting: it could have run, but others had the core. */
  readonly serverBusy: number;
  readonly serverKeptWaiting: number;
  readonly loadBusy: number;
  readonly loadKeptWaiting: number;
  readonly generatorBound: boolean;
  readonly errors: Readonly<Record<string, number>>;
  readonly rssBytes?: number;
  readonly rssPerConnectionBytes?: number;
  readonly idleCpuMs?: number;
  readonly idleSeconds?: number;
}

/** A server that was to take part and did not, or not in this round. */
export interface Absence {
  readonly server: string;
  readonly round?: number;
  readonly reason: string;
}

export interface ScenarioResult {
  readonly provenance: Provenance;
  readonly measurements: readonly Measurement[];
  readonly absences: readonly Absence[];
}

export interface KeyValueMeasurement {
  readonly server: string;
  readonly round: number;
  readonly test: string;
  readonly pipeline: number;
  readonly operationsPerSecond: number;
  readonly cpuUsPerOperation: number;
  readonly p99Ms: number;
  readonly serverBusy: number;
  readonly serverKeptWaiting: number;
  readonly generatorBusy: number;
  readonly generatorKeptWaiting: number;
  readonly generatorBound: boolean;
}

export interface KeyValueResult {
  readonly provenance: Provenance;
  readonly measurements: readonly KeyValueMeasurement[];
  readonly absences: readonly Absence[];
}

/** One way from thread to thread. */
export interface HopMeasurement {
  readonly way: string;
  readonly round: number;
  readonly messagesPerSecond: number;
  /** Of a round trip. */
  readonly p50Us: number;
  readonly p99Us: number;
}

export interface FanOutMeasurement {
  readonly subscribers: number;
  /** Messages published at once. */
  readonly burst: number;
  readonly round: number;
  readonly deliveriesPerSecond: number;
}

export interface MailboxResult {
  readonly provenance: Provenance;
  readonly hops: readonly HopMeasurement[];
  readonly fanOuts: readonly FanOutMeasurement[];
}

/** One server under one load of the models' part; what was not measured there is left out. */
export interface ModelMeasurement {
  readonly part: "one-thread" | "two-threads" | "heavy" | "threads";
  readonly scenario: string;
  readonly server: string;
  readonly round: number;
  /** See Measurement. */
  readonly burst?: number;
  readonly messagesPerSecond: number;
  readonly p99Us: number;
  readonly rssBytes?: number;
  /** Resident memory that came with the connections, by their number. */
  readonly rssPerConnectionBytes?: number;
}

export interface ModelsResult {
  readonly provenance: Provenance;
  readonly measurements: readonly ModelMeasurement[];
  readonly absences: readonly Absence[];
}

/** One of what the benchmark of SWP/1 compares. */
export interface SwpMeasurement {
  readonly subject: string;
  readonly round: number;
  readonly perSecond: number;
  /** Of all that serve together. */
  readonly cpuUs: number;
  readonly p50Us?: number;
  /** Resident memory of the server for each idle session. */
  readonly rssPerSessionBytes?: number;
}

export interface SwpResult {
  readonly provenance: Provenance;
  readonly measurements: readonly SwpMeasurement[];
  readonly absences: readonly Absence[];
}

/** One server at one number of connections in the lab's experiment `peers`. */
export interface PeerMeasurement {
  /** What is spoken: echo, resp, http. */
  readonly part: string;
  readonly server: string;
  readonly connections: number;
  readonly round: number;
  readonly messagesPerSecond: number;
  readonly p50Us: number | undefined;
  readonly p99Us: number | undefined;
  /** For a message, of all the server's threads. */
  readonly cpuUs: number | undefined;
}

export interface PeersResult {
  readonly provenance: Provenance;
  /** The lab's own command line. */
  readonly lab: string;
  readonly contenders: readonly { readonly name: string; readonly version: string }[];
  readonly measurements: readonly PeerMeasurement[];
  readonly absences: readonly Absence[];
}

export interface Results {
  readonly version: 1;
  readonly scenarios: Readonly<Record<string, ScenarioResult>>;
  readonly keyValue?: KeyValueResult;
  readonly mailbox?: MailboxResult;
  readonly models?: ModelsResult;
  readonly swp?: SwpResult;
  readonly peers?: PeersResult;
}
