// Every model on every driver that fits it, and a server of the versatile handlers on one.

import type { TestContext } from "node:test";
import { BroadcastChannel } from "node:worker_threads";
import type { DriverChoice } from "../../src/driver/choices.ts";
import { blocks, MODELS, type ModelName, type ServeOptions } from "../../src/server/options.ts";
import { type Server, serve } from "../../src/server/serve.ts";
import { nativeRefusal } from "../../src/sys/native-library.ts";
import type { Client } from "./client.ts";
import { DRIVERS } from "./drivers.ts";
import type { Told } from "./handlers/versatile.ts";
import { until } from "./until.ts";

export interface TestedModel {
  readonly title: string;
  readonly model: ModelName;
  readonly driver: DriverChoice | "auto";
  readonly skip: string | false;
}

export const TESTED_MODELS: readonly TestedModel[] = MODELS.flatMap((model): TestedModel[] => {
  if (blocks(model))
    return [{ title: model, model, driver: "auto", skip: nativeRefusal() ?? false }];
  return DRIVERS.map(({ name, skip }) => ({
    title: `${model}, ${name}`,
    model,
    driver: name,
    skip,
  }));
});

/** A server, and what its handlers tell of it. */
export class ModelServer {
  readonly server: Server;
  readonly told: Told[] = [];
  readonly errors: unknown[];
  readonly #channel: BroadcastChannel;

  private constructor(server: Server, channel: BroadcastChannel, told: Told[], errors: unknown[]) {
    this.server = server;
    this.told = told;
    this.errors = errors;
    this.#channel = channel;
  }

  static async start(
    t: Pick<TestContext, "after">,
    { model, driver }: Pick<TestedModel, "model" | "driver">,
    options: ServeOptions = {},
  ): Promise<ModelServer> {
    const name = `versatile-${performance.now()}`;
    const channel = new BroadcastChannel(name);
    const told: Told[] = [];
    const errors: unknown[] = [];
    channel.onmessage = (event) => told.push((event as { readonly data: Told }).data);
    const module = new URL(`handlers/versatile.ts?channel=${name}`, import.meta.url);
    const onError = (error: unknown) => void errors.push(error);
    const server = await serve(module, { model, driver, onError, ...options });
    const started = new ModelServer(server, channel, told, errors);
    t.after(() => started.stop());
    return started;
  }

  async stop(): Promise<void> {
    await this.server.close({ drainMs: 200 });
    this.#channel.close();
  }

  /** Why the server says that a client's connection ended: told once, so all that it says. */
  async reasonOf(client: Client): Promise<string> {
    const { localPort } = client.socket;
    if (localPort === undefined) throw new Error("ask while the client has its port");
    const reasons = () => this.told.filter(({ port }) => port === localPort);
    await until(() => reasons().length > 0, "closed");
    return reasons()
      .map(({ reason }) => reason)
      .join();
  }
}
