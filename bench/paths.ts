// Where the benchmark's things are, independent of the directory it is started in.
import { fileURLToPath } from "node:url";

export const rootDirectory = fileURLToPath(new URL("..", import.meta.url));
export const benchDirectory = fileURLToPath(new URL(".", import.meta.url));

export const buildDirectory = `${benchDirectory}build`;
export const builtProgram = (name: string): string => `${buildDirectory}/${name}`;

export const bunProgram = `${benchDirectory}node_modules/@oven/bun-linux-${
  process.arch === "arm64" ? "aarch64" : "x64"
}/bin/bun`;
export const denoProgram = `${benchDirectory}node_modules/@deno/linux-x64-glibc/deno`;

/** Where Debian's libnetty-java puts them. */
const javaLibraries = "/usr/share/java";
export const nettyLibrary = `${javaLibraries}/netty-common.jar`;
export const nettyClasses = `${buildDirectory}/netty-echo`;
export const nettyClassPath: string = [
  ...["common", "buffer", "transport", "resolver", "transport-native-unix-common"],
  "transport-native-epoll",
]
  .map((part) => `${javaLibraries}/netty-${part}.jar`)
  .concat(`${javaLibraries}/jctools-core.jar`, nettyClasses)
  .join(":");

/** Where Debian's librust-*-dev packages put their sources; elsewhere cargo fetches them itself. */
export const debianCrates = "/usr/share/cargo/registry";
export const tokioProgram = `${buildDirectory}/tokio-echo/release/tokio-echo`;
