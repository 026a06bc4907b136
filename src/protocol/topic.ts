// What SWP/1 adds to the topics of topics.ts: those that begin with `$` are the server's own, and `*` and `>` are tokens of
// their own or nothing.

import { checkPattern, checkTopic, TopicError } from "../topics.ts";

/** What is wrong with a topic to publish on, in words, or undefined. */
export function topicFault(topic: string): string | undefined {
  return fault(topic, checkTopic);
}

/** What is wrong with a pattern to subscribe to, in words, or undefined. */
export function patternFault(pattern: string): string | undefined {
  return fault(pattern, checkPattern);
}

function fault(topic: string, check: (topic: string) => void): string | undefined {
  try {
    check(topic);
  } catch (error) {
    if (!(error instanceof TopicError)) throw error;
    return error.rule;
  }
  if (topic.startsWith("$")) return "topics that begin with $ are reserved";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  if (/[\u0001-\u001f\u007f]/.test(topic)) return "a topic has no control characters";
  const wild = topic.split(".").find((token) => token.length > 1 && /[*>]/.test(token));
  return wild === undefined ? undefined : `* and > are tokens of their own, not part of "${wild}"`;
}
