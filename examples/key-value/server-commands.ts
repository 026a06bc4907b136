// Commands on the connection and the server: what clients say when they connect, and what tools ask.

import {
  type Client,
  type Command,
  echo,
  fail,
  NOT_AN_INTEGER,
  nothing,
  ok,
  plain,
  wrongArity,
} from "./command.ts";
import { PONG, type Reply } from "./reply.ts";
import type { Request } from "./request.ts";
import type { Store } from "./store.ts";

/** The Redis whose answers these are; clients choose by it what they may ask. */
const REDIS_VERSION = "7.0.0";

/** What CONFIG GET knows: what redis-benchmark and clients ask for. */
const SETTINGS: readonly (readonly [string, string])[] = [
  ["save", ""],
  ["appendonly", "no"],
  ["databases", "1"],
  ["maxmemory", "0"],
  ["maxmemory-policy", "noeviction"],
];

export const serverCommands: readonly Command[] = [
  plain("ping", -1, ping),
  plain("echo", 2, (request, client) => echo(client, request, 1)),
  plain("select", 2, select),
  plain("hello", -1, hello),
  plain("quit", -1, quit),
  plain("info", -1, info),
  container("client", [
    plain("client|setname", 3, setName),
    plain("client|getname", 2, getName),
    plain("client|setinfo", 4, setInfo),
    plain("client|id", 2, (_request, client) => void client.send(client.id)),
  ]),
  container("config", [plain("config|get", -3, configGet)]),
  // Browsers can be made to send these: HTTP to a port of this kind is no mistake, it is an attack.
  plain("post", -1, (_request, client) => client.close()),
  plain("host:", -1, (_request, client) => client.close()),
];

/** A command that is nothing without its subcommand. */
export function container(
  name: string,
  subcommands: readonly Command[],
  run: Command["run"] = (_request, client) => wrongArity(client, name),
): Command {
  return {
    ...plain(name, -1, run),
    subcommands: new Map(
      subcommands.map((command) => [command.name.slice(name.length + 1).toUpperCase(), command]),
    ),
  };
}

function ping(request: Request, client: Client): void {
  if (request.count === 1) client.write(PONG);
  else if (request.count === 2) echo(client, request, 1);
  else wrongArity(client, "ping");
}

function select(request: Request, client: Client): void {
  const database = request.integer(1);
  if (database === 0) ok(client);
  else fail(client, database === undefined ? NOT_AN_INTEGER : "ERR DB index is out of range");
}

function quit(_request: Request, client: Client): void {
  ok(client);
  client.close();
}

function hello(request: Request, client: Client): void {
  const version = request.count > 1 ? request.integer(1) : 2;
  if (version === undefined) {
    fail(client, "ERR Protocol version is not an integer or out of range");
    return;
  }
  if (version !== 2) {
    fail(client, "NOPROTO unsupported protocol version");
    return;
  }
  let name: string | undefined;
  for (let index = 2; index < request.count; index++) {
    if (request.is(index, "SETNAME") && index + 1 < request.count) {
      name = request.text(++index);
    } else {
      fail(client, `ERR Syntax error in HELLO option '${request.text(index)}'`);
      return;
    }
  }
  if (name !== undefined && !rename(client, name)) return;
  client.send([
    ...["server", "redis", "version", REDIS_VERSION, "proto", 2, "id", client.id],
    ...["mode", "standalone", "role", "master", "modules", []],
  ]);
}

function setName(request: Request, client: Client): void {
  if (rename(client, request.text(2))) ok(client);
}

/** False: the client has been told that the name will not do. */
function rename(client: Client, name: string): boolean {
  if (/^[!-~]*$/.test(name)) {
    client.state.name = name;
    return true;
  }
  fail(client, "ERR Client names cannot contain spaces, newlines or special characters.");
  return false;
}

function getName(_request: Request, client: Client): void {
  if (client.state.name === "") nothing(client);
  else client.send(client.state.name);
}

/** Libraries say who they are; there is nothing here that would show it. */
function setInfo(request: Request, client: Client): void {
  const attribute = request.text(2);
  if (/^lib-(name|ver)$/i.test(attribute)) ok(client);
  else fail(client, `ERR Unrecognized option '${attribute}'`);
}

function configGet(request: Request, client: Client): void {
  const found = new Map<string, string>();
  for (let index = 2; index < request.count; index++) {
    const wanted = request.text(index).toLowerCase();
    for (const [name, value] of SETTINGS) {
      if (wanted === "*" || wanted === name) found.set(name, value);
    }
  }
  client.send([...found].flat());
}

function info(request: Request, client: Client, store: Store): void {
  const sections = new Map<string, string[]>([
    ["server", serverSection()],
    [
      "memory",
      [`used_memory:${store.memoryBytes}`, `used_memory_rss:${process.memoryUsage.rss()}`],
    ],
    ["persistence", ["loading:0"]],
    ["replication", ["role:master", "connected_slaves:0"]],
    ["keyspace", keyspaceSection(store)],
  ]);
  const chosen: string[] = [];
  for (const [name, lines] of sections) {
    if (!isAsked(request, name)) continue;
    const title = `# ${name.charAt(0).toUpperCase()}${name.slice(1)}`;
    chosen.push(`${[title, ...lines].join("\r\n")}\r\n`);
  }
  client.send(chosen.join("\r\n"));
}

function serverSection(): string[] {
  return [
    `redis_version:${REDIS_VERSION}`,
    "redis_mode:standalone",
    `process_id:${process.pid}`,
    `uptime_in_seconds:${Math.floor(process.uptime())}`,
    `node_version:${process.versions.node}`,
  ];
}

function keyspaceSection(store: Store): string[] {
  return store.size === 0 ? [] : [`db0:keys=${store.size},expires=${store.expiringKeys},avg_ttl=0`];
}

function isAsked(request: Request, section: string): boolean {
  if (request.count === 1) return true;
  for (let index = 1; index < request.count; index++) {
    const asked = request.text(index).toLowerCase();
    if (asked === section || /^(all|default|everything)$/.test(asked)) return true;
  }
  return false;
}

/** COMMAND, which tells of `commands`: itself among them. */
export function commandCommand(commands: () => Iterable<Command>): Command {
  const described = (command: Command): Reply => [
    command.name,
    command.arity,
    [command.writes ? "write" : "readonly"],
    ...command.keys,
  ];
  const all: Command["run"] = (_request, client) =>
    void client.send([...commands()].map(described));
  return container(
    "command",
    [
      plain("command|count", 2, (_request, client) => void client.send([...commands()].length)),
      // Without descriptions; redis-cli does with an empty list.
      plain("command|docs", -2, (_request, client) => void client.send([])),
      plain("command|info", -2, (request, client, store) => {
        if (request.count === 2) {
          all(request, client, store);
          return;
        }
        const byName = new Map([...commands()].map((command) => [command.name, command]));
        const replies: Reply[] = [];
        for (let index = 2; index < request.count; index++) {
          const command = byName.get(request.text(index).toLowerCase());
          replies.push(command === undefined ? null : described(command));
        }
        client.send(replies);
      }),
    ],
    all,
  );
}
