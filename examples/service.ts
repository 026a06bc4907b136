// A small service over SWP/1, on all cores: an echo, a key-value map, and rooms with presence. Serve it with `npm start`
// (`npm run sluice -- serve examples/service.ts`): it prints what to try in another terminal.
//
// The map and who is in which room belong to all threads; what is published reaches them all too.
// try: sluice call {address} map.set '{"key":"greeting","value":"hello"}'
// try: sluice sub {address} 'room.>'
// try: sluice pub {address} room.lobby.said '{"name":"me","text":"hello"}'

import { z } from "zod";
import {
  anything,
  type CallContext,
  CallError,
  call,
  nothing,
  serverStream,
  service,
} from "../src/service/service.ts";

const Name = z.string().regex(/^[\w-]{1,64}$/, "1 to 64 letters, digits, _ or -");
const Key = z.string().min(1).max(200);
const fits = (value: unknown) => JSON.stringify(value ?? null).length <= 10_000;
const Value = z.unknown().refine(fits, "at most 10,000 characters of JSON");
const Member = z.object({ room: Name, name: Name });

const values = ({ shared }: CallContext) => shared.map<unknown>("values");
/** Who is in a room by way of one thread, and no longer than that thread lives. */
const rooms = ({ shared }: CallContext) => shared.map<string[]>("rooms");
const WITH_THREAD = { withThread: true };

const inThread = (room: string, thread: number) => `${room} ${thread}`;

async function membersOf(room: string, context: CallContext): Promise<string[]> {
  const threads = Array.from({ length: context.shared.threads }, (_, thread) => thread);
  const each = threads.map((thread) => rooms(context).get(inThread(room, thread)));
  return (await Promise.all(each)).flatMap((names) => names ?? []);
}

export default service(
  {
    echo: call(anything, anything, (input) => input),

    "map.get": call(Key, anything, async (key, context) => {
      const value = await values(context).get(key);
      if (value === undefined) throw new CallError("NOT_FOUND", "there is no such key");
      return value;
    }),
    "map.set": call(z.object({ key: Key, value: Value }), nothing, async (input, context) => {
      await values(context).set(input.key, input.value ?? null);
      context.publish("map.changed", { key: input.key });
    }),
    "map.delete": call(Key, z.boolean(), async (key, context) => {
      const there = await values(context).delete(key);
      if (there) context.publish("map.changed", { key });
      return there;
    }),

    "room.members": call(Name, z.array(Name), membersOf),
    // One is in the room for as long as the stream is open.
    "room.join": serverStream(Member, z.array(Name), async function* ({ room, name }, context) {
      const left = new Promise<void>((resolve) => {
        context.signal.addEventListener("abort", () => resolve());
      });
      const here = inThread(room, context.shared.thread);
      await rooms(context).update(here, (there = []) => [...there, name], WITH_THREAD);
      context.publish(`room.${room}.joined`, { name });
      try {
        yield await membersOf(room, context);
        await left;
      } finally {
        await rooms(context).update(here, (there = []) => without(there, name), WITH_THREAD);
        context.publish(`room.${room}.left`, { name });
      }
    }),
    "room.say": call(Member.extend({ text: z.string().max(4096) }), nothing, (input, context) => {
      context.publish(`room.${input.room}.said`, { name: input.name, text: input.text });
    }),
  },
  {
    // Everybody may call, hear everything, and say something in a room.
    authorize: (_identity, action, name) => action !== "publish" || name.startsWith("room."),
  },
);

/** One of that name less; undefined when nobody is left, so that the map forgets the room. */
function without(members: readonly string[], name: string): string[] | undefined {
  const rest = [...members];
  const at = rest.indexOf(name);
  if (at >= 0) rest.splice(at, 1);
  return rest.length === 0 ? undefined : rest;
}
