// Where the benchmark's things are, independent of the directory it is started in.
import { fileURLToPath } from "node:url";
import { nettyClassPath as classPathWith } from "../src/lab/experiments/peer-libraries.ts";

export const rootDirectory = fileURLToPath(new URL("..", import.meta.url));
export const benchDirectory = fileURLToPath(new URL(".", import.meta.url));

export const buildDirectory = `${benchDirectory}build`;
export const builtProgram = (name: string): string => `${buildDirectory}/${name}`;

export const bunProgram = `${benchDirectory}node_modules/@oven/bun-linux-${
  process.arch === "arm64" ? "aarch64" : "x64"
}/bin/bun`;
export const denoProgram = `${benchDirectory}node_modules/@deno/linux-x64-glibc/deno`;

export const nettyClasses = `${buildDirectory}/netty-echo`;
export const nettyClassPath: string = classPathWith(nettyClasses);

export const tokioProgram = `${buildDirectory}/tokio-echo/release/tokio-echo`;
