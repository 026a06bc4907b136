// Where the libraries of peers in Rust and Java are on this machine: for the lab, and for the benchmark that builds the same programs.

import { existsSync, readdirSync } from "node:fs";

/** Where Debian's librust-*-dev packages put their sources; elsewhere cargo fetches them itself. */
const DEBIAN_CRATES = "/usr/share/cargo/registry";
/** Where Debian's libnetty-java puts them. */
const JAVA_LIBRARIES = "/usr/share/java";
export const NETTY_LIBRARY = `${JAVA_LIBRARIES}/netty-common.jar`;

/** What makes cargo take the sources that are on this machine. */
export function cratesHere(): string[] {
  if (!existsSync(DEBIAN_CRATES)) return [];
  return [
    ...["--offline", "--config", 'source.crates-io.replace-with="debian"'],
    ...["--config", `source.debian.directory=${JSON.stringify(DEBIAN_CRATES)}`],
  ];
}

/** Of the program whose classes are there. */
export function nettyClassPath(classes: string): string {
  return ["common", "buffer", "transport", "resolver", "transport-native-unix-common"]
    .concat("transport-native-epoll")
    .map((part) => `${JAVA_LIBRARIES}/netty-${part}.jar`)
    .concat(`${JAVA_LIBRARIES}/jctools-core.jar`, classes)
    .join(":");
}

export function nettyVersion(): string {
  if (!existsSync(NETTY_LIBRARY)) return "not there";
  // The name without a version is a link to one with it.
  const names = readdirSync(JAVA_LIBRARIES).join("\n");
  const [, version = "of unknown version"] = /^netty-common-(.+)\.jar$/m.exec(names) ?? [];
  return version;
}
