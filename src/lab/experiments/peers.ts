// peers: other servers under the same loads, each with its version. What is not on this machine is named.

import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { type Contender, modelChoices, sluiceServer } from "../contender.ts";
import { sweepCards } from "../report/cards.ts";
import type { PartAbout } from "../report/plot.ts";
import type { Bench } from "../workbench.ts";
import type { WorkloadName } from "../workloads/choose-workload.ts";
import type { Experiment, ModelsAndDrivers } from "./experiment.ts";
import { CONNECTIONS } from "./models.ts";
import { echoPeers, httpPeers, keyValueExample, type Peers, respPeers } from "./peer-programs.ts";

const PARTS: readonly PartAbout[] = ["echo", "resp", "http"].map((part) => ({
  ...CONNECTIONS,
  part,
}));

export const peers: Experiment = {
  name: "peers",
  summary:
    "node:net, cluster, C, Bun, Deno, Go, tokio, Netty, redis-server and nginx under the same loads",
  question:
    "How far is it from what others do with the same work: servers in C on epoll and io_uring, Node's own net and cluster, Bun, Deno, Go, tokio and Netty; and for their own protocols redis-server and nginx?",
  method:
    "Closed loops. Echo: 64 bytes come back as they are. RESP: PING, SET and GET as 1 : 3 : 6 over 1000 keys; Sluice serves examples/key-value.ts. HTTP/1.1: GET of two bytes on kept-alive connections, which Sluice does not speak. Sluice's event-loop, C, node:net, Bun and Deno have one thread; multi-reactor, Go, tokio and Netty have all cores. Nothing is pinned.",
  async run(bench, choice) {
    if (bench.rehearses) return all(bench, choice, undefined);
    const folder = mkdtempSync(join(tmpdir(), "sluice-peers-"));
    try {
      await all(bench, choice, folder);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
  cards: (result) =>
    PARTS.flatMap((about) =>
      sweepCards(result, about).map((card) => ({
        ...card,
        // "CPU" stays as it is.
        title: `${about.part}: ${card.title.replace(/^[A-Z](?![A-Z])/, (first) => first.toLowerCase())}`,
      })),
    ),
};

/** Without a folder nothing is built: what could be is taken as built. */
async function all(
  bench: Bench,
  choice: ModelsAndDrivers,
  folder: string | undefined,
): Promise<void> {
  await sweep(bench, "echo", "echo", echoPeers(folder), ourEchoes(choice));
  await sweep(bench, "resp", "resp", respPeers(), ourKeyValue(choice));
  await sweep(bench, "http", "http", httpPeers(folder ?? ""), []);
}

async function sweep(
  bench: Bench,
  part: string,
  workload: WorkloadName,
  { contenders, missing }: Peers,
  ours: readonly Contender[],
): Promise<void> {
  const { quick, connections, servers } = bench.settings;
  const given = part === "echo" ? servers : [];
  for (const { name, reason } of missing) bench.miss({ part, contender: name, x: null, reason });
  await bench.sweep({
    part: { ...CONNECTIONS, part },
    contenders: [...ours, ...contenders, ...given],
    points: (connections ?? (quick ? [1, 50] : [1, 10, 50, 200, 1000])).map((x) => ({
      x,
      load: { workload, connections: x },
    })),
  });
}

function ourEchoes({ drivers, bestDriver }: ModelsAndDrivers): Contender[] {
  const loops = modelChoices(["event-loop"], drivers, bestDriver);
  const reactors = modelChoices(["multi-reactor"], drivers, true);
  return [...loops, ...reactors].map((choice) => ours(choice, undefined));
}

function ourKeyValue({ drivers, bestDriver }: ModelsAndDrivers): Contender[] {
  const handlers = keyValueExample();
  if (handlers === undefined) return [];
  return modelChoices(["event-loop"], drivers, bestDriver).map((choice) => ({
    ...ours(choice, handlers),
    name: `Sluice key-value ${choice.driver}`,
  }));
}

function ours(choice: ReturnType<typeof modelChoices>[number], handlers: URL | undefined) {
  const name = `Sluice ${choice.model} ${choice.driver}`;
  return sluiceServer({ ...choice, handlers, threads: availableParallelism(), name });
}
