// Chat: rooms over all threads. `npm run sluice -- serve examples/chat.ts`, then `nc 127.0.0.1 7000` in several terminals.
//
// A room is a topic: who is in it is subscribed, in whichever thread. Who is present is known to each thread for its own
// people, and told to the others through a shared map, under the thread's own key: one that takes the place of a dead one
// begins with nobody. Somebody who does not read is passed over, and costs nobody anything.

import { type Connection, type Context, handlers, lines } from "../src/index.ts";

interface Person {
  nick: string;
  room: string | undefined;
}
type Client = Connection<string, Person>;
/** Nicks by room. */
type Rooms = Map<string, string[]>;

const HELP = "/nick NAME, /join ROOM, /leave, /who, /quit; every other line goes to your room";
const WORD = /^[\w-]{1,20}$/;
/** The people of this thread. */
const here: Rooms = new Map();
/** Those of each. */
const present = (context: Context<string>) => context.map<Rooms>("present");
const tell = (context: Context<string>) => present(context).set(`${context.thread}`, here);

async function join(client: Client, room: string): Promise<void> {
  await leave(client);
  if (!client.subscribe(`room.${room}`)) return;
  client.state.room = room;
  here.set(room, [...(here.get(room) ?? []), client.state.nick]);
  client.context.publish(`room.${room}`, `* ${client.state.nick} has joined`);
  await tell(client.context);
}

async function leave(client: Client): Promise<void> {
  const { room, nick } = client.state;
  if (room === undefined) return;
  client.state.room = undefined;
  client.unsubscribe(`room.${room}`);
  const nicks = here.get(room) ?? [];
  if (nicks.length > 1) here.set(room, nicks.toSpliced(nicks.indexOf(nick), 1));
  else here.delete(room);
  client.context.publish(`room.${room}`, `* ${nick} has left`);
  await tell(client.context);
}

async function who(context: Context<string>, room: string): Promise<string> {
  const threads = Array.from({ length: context.threads }, (_, thread) => `${thread}`);
  const rooms = await Promise.all(threads.map((thread) => present(context).get(thread)));
  return `* in ${room}: ${rooms.flatMap((each) => each?.get(room) ?? []).join(", ")}`;
}

export default handlers<string, string, Person>({
  codec: lines({ maximumBytes: 1000 }),
  state: () => ({ nick: "", room: undefined }),
  started: tell,

  opened(client) {
    client.state.nick = `guest-${client.context.counter("guests").add()}`;
    client.send(`* you are ${client.state.nick}; ${HELP}`);
  },

  async message(client, line) {
    const { nick, room } = client.state;
    const [command = "", word = ""] = line.split(" ", 2);
    if (command === "/quit") client.close();
    else if (command === "/leave") await leave(client);
    else if (command === "/join" && WORD.test(word)) await join(client, word);
    else if (command === "/nick" && WORD.test(word) && room === undefined) client.state.nick = word;
    else if (room === undefined) client.send("! /join a room first");
    else if (command === "/who") client.send(await who(client.context, room));
    else if (command.startsWith("/")) client.send(`! ${HELP}; a nick is chosen outside of rooms`);
    else if (!client.context.publish(`room.${room}`, `${nick}: ${line}`)) {
      client.send("! not everybody could hear that");
    }
  },

  closed: (client) => void leave(client).catch(console.error),
});
