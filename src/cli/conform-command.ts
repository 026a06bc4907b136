// sluice conform: whether a server keeps the rules of SWP/1, found out from outside, rule by rule.

import { readFileSync } from "node:fs";
import { parseArgs, styleText } from "node:util";
import { GOAWAY } from "../protocol/codes.ts";
import { type Command, integerOption, UsageError } from "./command.ts";
import { authChecks } from "./conform-auth.ts";
import {
  type Conversation,
  conversationChecks,
  type Exchange,
  exchangeChecks,
} from "./conform-conversations.ts";
import { prefaceAndHello } from "./conform-hello.ts";
import { ConformPeer, type Target, Unmet } from "./conform-peer.ts";
import { type Check, type Outcome, runChecks } from "./conform-report.ts";
import { resumptionChecks } from "./conform-resumption.ts";
import {
  type FrameVectors,
  frameChecks,
  type TopicVectors,
  topicChecks,
} from "./conform-vectors.ts";
import { parseEndpoint } from "./endpoint.ts";
import { safeText } from "./frame-line.ts";

const HELP = `Usage: sluice conform HOST:PORT [OPTIONS]

Tests any SWP/1 server from outside: every group of the published test vectors and conversations, each
on a connection of its own, and sessions that are cut and come back. Says which rule is broken, and how.

  --token T        says who the tester is; also from the environment: SLUICE_TOKEN. Without one the
                   server must let strangers in
  --echo ROUTE     a route of kind call that answers with its input: more can be found out
  --group G        only this group: golden, chunking, malformed, grease, topics, conversations,
                   traces, credit, session, abuse, resumption, auth
  --wait-ms N      how long an answer may take (default 5000)
  --verbose        say what is kept and skipped, too
  --json           a line of JSON for each rule
  --help

Exit code 1 when a rule is broken.`;

export const conformCommand: Command = {
  name: "conform",
  summary: "test whether a server keeps the rules of SWP/1",
  help: HELP,
  run,
};

const FRAME_GROUPS = ["golden", "chunking", "malformed", "grease"];
const EXCHANGE_GROUPS = ["traces", "credit", "session", "abuse"];
const AT_A_TIME = 8;
const WAIT_MS = 5000;
/** What a server may answer HELLO with. */
const FIRST_FRAMES = ["WELCOME", "AUTH", "GOAWAY"];
const MOST_QUOTED = 80;

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: {
      token: { type: "string" },
      echo: { type: "string" },
      group: { type: "string" },
      "wait-ms": { type: "string" },
      verbose: { type: "boolean" },
      json: { type: "boolean" },
    },
    allowPositionals: true,
  });
  const [at, ...rest] = positionals;
  if (at === undefined || rest.length > 0) throw new UsageError("conform takes HOST:PORT");
  const waitMs = integerOption("wait-ms", values["wait-ms"], 1, 600_000) ?? WAIT_MS;
  const token = values.token ?? process.env.SLUICE_TOKEN;
  const target = { endpoint: parseEndpoint(at), waitMs, token };
  const all = allChecks(target, values.echo);
  const groups = [...new Set(all.map(({ group }) => group))];
  const { group } = values;
  if (group !== undefined && !groups.includes(group)) {
    throw new UsageError(`--group takes ${groups.join(", ")}, not "${group}"`);
  }
  await needSwp(target);
  const counts = { kept: 0, broken: 0, skipped: 0 };
  const checks = all.filter((check) => group === undefined || check.group === group);
  await runChecks(checks, AT_A_TIME, (outcome) => {
    counts[outcome.result]++;
    if (values.json === true) console.log(JSON.stringify(outcome));
    else if (values.verbose === true || outcome.result === "broken") console.log(line(outcome));
  });
  const { kept, broken, skipped } = counts;
  if (values.json !== true) {
    const why = skipped > 0 && values.verbose !== true ? " (--verbose says why)" : "";
    console.log(`${kept} kept, ${broken} broken, ${skipped} skipped${why}`);
  }
  return broken === 0 ? 0 : 1;
}

/** Who is not there, speaks something else or does not let the tester in breaks no rule. */
async function needSwp(target: Target): Promise<void> {
  const peer = await ConformPeer.connect(target);
  try {
    peer.send(prefaceAndHello(target.token));
    const first = await peer.frame();
    if (first?.frame === "GOAWAY" && first.code === GOAWAY.AUTH) {
      const how = target.token === undefined ? "say who you are with --token T" : "another token?";
      throw new Error(`the server does not let the tester in: ${how}`);
    }
    if (first === undefined || FIRST_FRAMES.includes(first.frame)) return;
    if (first.frame !== "malformed") {
      throw new Error(`this is no SWP/1 server: it answers HELLO with ${first.frame}`);
    }
    const said = safeText((await peer.foreign()).slice(0, MOST_QUOTED).trimEnd());
    throw new Error(`this is no SWP/1 server: it answers "${said}"`);
  } catch (error) {
    if (!(error instanceof Unmet)) throw error;
    throw new Error(`this is no SWP/1 server: it answers nothing to preface and HELLO`);
  } finally {
    peer.close();
  }
}

function allChecks(target: Target, echo: string | undefined): Check[] {
  const { vectors } = read<{ readonly vectors: readonly Conversation[] }>("conversations");
  return [
    ...FRAME_GROUPS.flatMap((group) => frameChecks(read<FrameVectors>(group), target)),
    ...topicChecks(read<TopicVectors>("topics"), target),
    ...conversationChecks(vectors, target, echo),
    ...EXCHANGE_GROUPS.flatMap((group) =>
      exchangeChecks(
        group,
        read<{ readonly vectors: readonly Exchange[] }>(group).vectors,
        target,
        echo,
      ),
    ),
    ...resumptionChecks(target),
    ...authChecks(target),
  ];
}

/** They are published with the package. */
function read<Group>(name: string): Group {
  const file = new URL(`../../docs/vectors/${name}.json`, import.meta.url);
  const group: Group = JSON.parse(readFileSync(file, "utf8"));
  return group;
}

function line({ group, rule, result, why }: Outcome): string {
  const colours = process.stdout.isTTY && process.stdout.hasColors();
  const format = { kept: "green", broken: "red", skipped: "yellow" } as const;
  const word = result.padEnd(7);
  const shown = colours ? styleText(format[result], word, { validateStream: false }) : word;
  return `${shown} ${group}: ${rule}${why === "" ? "" : `\n        ${why}`}`;
}
