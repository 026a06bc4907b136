// A gateway for devices on bad networks, over SWP/1: what they report is taken exactly once, commands reach them exactly once
// and in order, and whoever looks at the latest values sees those and not a backlog.
//
//   npm run sluice -- serve examples/device-gateway/gateway.ts --model event-loop
//   node examples/device-gateway/device.ts 127.0.0.1:7000 pump-1
//   npm run sluice -- sub 127.0.0.1:7000 'reading.*.pressure'
//   npm run sluice -- call 127.0.0.1:7000 device.command '{"device":"pump-1","command":"stop"}'
//
// One thread, since what it knows is in memory, and no longer than that thread: under another model a reload, or its replacement
// when it dies, begins with nothing. Up: a report is a call with an idempotency key; a device asks again after a cut,
// and the service executes each key once. Down: commands are numbered, and a device asks for those behind the last it has
// (fleet.ts). Aside: readings are published, and a dashboard subscribes with the slow policy `latest`.

import { z } from "zod";
import { CallError, call, serverStream, service } from "../../src/service/service.ts";
import { Fleet } from "./fleet.ts";

const Id = z.string().regex(/^[\w-]{1,64}$/, "1 to 64 letters, digits, _ or -");
const Reading = z.object({ device: Id, metric: Id, value: z.number() });
const Numbered = z.object({ seq: z.number().int(), command: z.string() });

/** A gateway with a fleet of its own. */
export function gateway(fleet: Fleet) {
  return service(
    {
      "device.report": call(Reading, z.number(), (reading, { publish }) => {
        fleet.take(reading.device, reading);
        publish(`reading.${reading.device}.${reading.metric}`, reading.value);
        return fleet.readings(reading.device);
      }),
      "device.commands": serverStream(
        z.object({ device: Id, after: z.number().int().min(0) }),
        Numbered,
        ({ device, after }, { signal }) => fleet.commands(device, after, signal),
      ),
      "device.command": call(
        z.object({ device: Id, command: z.string().max(1000) }),
        Numbered,
        ({ device, command }) => {
          const numbered = fleet.command(device, command);
          if (numbered === undefined) {
            throw new CallError("RESOURCE_EXHAUSTED", "the device has too much to do already");
          }
          return numbered;
        },
      ),
      "device.latest": call(Id, z.record(z.string(), z.number()), (device) =>
        Object.fromEntries(fleet.latest(device)),
      ),
    },
    {
      started({ shared }) {
        if (shared.threads === 1) return;
        throw new Error(
          "the devices' sessions live in one thread: start it with --model event-loop",
        );
      },
      authorize: (_identity, action, name) => action !== "publish" || name.startsWith("note."),
    },
  );
}

export default gateway(new Fleet());
