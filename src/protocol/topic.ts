// Topics: NATS's grammar, so that a cluster maps one to one.
//
// A topic is tokens between dots, none empty, at most 16 and 255 bytes in all. In a pattern a token may be `*`, which
// stands for any one, and the last may be `>`, which stands for one or more. Topics whose first token begins with `$` are
// the server's own.

import { Buffer } from "node:buffer";
import { FIXED } from "./wire-limits.ts";

/** What is wrong with a topic to publish on, in words, or undefined. */
export function topicFault(topic: string): string | undefined {
  const fault = patternFault(topic);
  if (fault !== undefined) return fault;
  const tokens = topic.split(".");
  if (tokens.includes("*") || tokens.includes(">"))
    return "a topic to publish on has no * and no >";
  return undefined;
}

/** What is wrong with a pattern to subscribe to, in words, or undefined. */
export function patternFault(pattern: string): string | undefined {
  if (pattern.length > FIXED.nameBytes || Buffer.byteLength(pattern) > FIXED.nameBytes) {
    return `a topic has at most ${FIXED.nameBytes} bytes`;
  }
  const tokens = pattern.split(".");
  if (tokens.length > FIXED.topicTokens) return `a topic has at most ${FIXED.topicTokens} tokens`;
  if (tokens.includes("")) return "a topic has no empty token";
  if (pattern.startsWith("$")) return "topics that begin with $ are reserved";
  const tail = tokens.indexOf(">");
  if (tail >= 0 && tail < tokens.length - 1) return "> can only be the last token";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  if (/[\u0000-\u0020\u007f]/.test(pattern))
    return "a topic has no spaces and no control characters";
  const wild = tokens.find((token) => token.length > 1 && /[*>]/.test(token));
  return wild === undefined ? undefined : `* and > are tokens of their own, not part of "${wild}"`;
}

/** Whether a topic is one of those that the pattern stands for. */
export function matches(pattern: string, topic: string): boolean {
  const wanted = pattern.split(".");
  const tokens = topic.split(".");
  for (let n = 0; n < wanted.length; n++) {
    if (wanted[n] === ">") return tokens.length > n;
    if (n >= tokens.length || (wanted[n] !== "*" && wanted[n] !== tokens[n])) return false;
  }
  return wanted.length === tokens.length;
}
