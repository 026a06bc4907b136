// Topics and who wants them: the names that messages are published under, and a tree from subscriptions to subscribers.
//
// A topic is tokens between dots ("room.7.joined"). A pattern may have `*` for any one token, and `>` as its last token for
// one or more ("room.*.joined", "room.>"). It is NATS's grammar, so that a cluster over NATS maps one to one.
//
// Twist: nearly all subscriptions are exact, and for them one Map lookup answers everything. The tree is only made, and
// only walked, while there are patterns.
// Invariant: no node without subscribers below it: what is unsubscribed leaves nothing behind.

/** In bytes of UTF-8. */
export const LONGEST_TOPIC_BYTES = 255;
export const MOST_TOPIC_TOKENS = 16;

const ONE = "*";
const REST = ">";

/** A topic or pattern breaks a rule. */
export class TopicError extends RangeError {
  /** What is wrong, without the topic itself, which the message names too. */
  readonly rule: string;

  constructor(message: string, rule: string) {
    super(message);
    this.rule = rule;
  }
}

/**
 * A topic to publish under: 1 to 16 tokens between dots, none of them empty, at most 255 bytes, no whitespace, no wildcard.
 * @throws TopicError that says what is wrong
 */
export function checkTopic(topic: string): void {
  checkTokens(topic, "a topic");
  if (hasWildcard(topic)) throw wrong("a topic", topic, `${ONE} and ${REST} are for subscriptions`);
}

/**
 * A topic to subscribe to: likewise, where a token may be `*` (any one) and the last one `>` (one or more).
 * @throws TopicError that says what is wrong
 */
export function checkPattern(pattern: string): void {
  const tokens = checkTokens(pattern, "a subscription");
  const at = tokens.indexOf(REST);
  if (at < 0 || at === tokens.length - 1) return;
  throw wrong("a subscription", pattern, `${REST} must be the last token`);
}

/** Subscribers by pattern. Each value is there once for a pattern, however often it is added. */
export class TopicTree<Value> {
  readonly #exact = new Map<string, Set<Value>>();
  #patterns: Node<Value> | undefined = undefined;
  /** Pairs of a pattern and a value. */
  size = 0;

  /** False when it was there. The pattern must have passed `checkPattern`. */
  add(pattern: string, value: Value): boolean {
    const values = hasWildcard(pattern) ? this.#node(pattern) : this.#exactly(pattern);
    if (values.has(value)) return false;
    values.add(value);
    this.size++;
    return true;
  }

  /** False when it was not there. */
  delete(pattern: string, value: Value): boolean {
    const gone = hasWildcard(pattern)
      ? this.#patterns !== undefined && remove(this.#patterns, pattern.split("."), 0, value)
      : this.#deleteExact(pattern, value);
    if (!gone) return false;
    this.size--;
    if (this.#patterns !== undefined && isEmpty(this.#patterns)) this.#patterns = undefined;
    return true;
  }

  /** Everybody whose patterns match the topic, each once; undefined for nobody. Not to be kept or changed. */
  matching(topic: string): ReadonlySet<Value> | undefined {
    const exact = this.#exact.get(topic);
    if (this.#patterns === undefined) return exact;
    const found: Set<Value>[] = exact === undefined ? [] : [exact];
    collect(this.#patterns, topic.split("."), 0, found);
    return found.length < 2 ? found[0] : new Set(found.flatMap((values) => [...values]));
  }

  #exactly(topic: string): Set<Value> {
    let values = this.#exact.get(topic);
    if (values === undefined) {
      values = new Set();
      this.#exact.set(topic, values);
    }
    return values;
  }

  #deleteExact(topic: string, value: Value): boolean {
    const values = this.#exact.get(topic);
    if (values === undefined || !values.delete(value)) return false;
    if (values.size === 0) this.#exact.delete(topic);
    return true;
  }

  #node(pattern: string): Set<Value> {
    this.#patterns ??= new Node();
    let node = this.#patterns;
    for (const token of pattern.split(".")) {
      let next = node.next.get(token);
      if (next === undefined) {
        next = new Node();
        node.next.set(token, next);
      }
      node = next;
    }
    return node.values;
  }
}

/** Where a pattern's tokens so far lead to; wildcards are tokens like others. */
class Node<Value> {
  readonly next = new Map<string, Node<Value>>();
  readonly values = new Set<Value>();
}

function isEmpty<Value>(node: Node<Value>): boolean {
  return node.values.size === 0 && node.next.size === 0;
}

function remove<Value>(node: Node<Value>, tokens: string[], at: number, value: Value): boolean {
  const token = tokens[at];
  if (token === undefined) return node.values.delete(value);
  const next = node.next.get(token);
  if (next === undefined || !remove(next, tokens, at + 1, value)) return false;
  if (isEmpty(next)) node.next.delete(token);
  return true;
}

function collect<Value>(
  node: Node<Value>,
  tokens: string[],
  at: number,
  found: Set<Value>[],
): void {
  const token = tokens[at];
  if (token === undefined) {
    if (node.values.size > 0) found.push(node.values);
    return;
  }
  const rest = node.next.get(REST);
  if (rest !== undefined) found.push(rest.values);
  const exact = node.next.get(token);
  if (exact !== undefined) collect(exact, tokens, at + 1, found);
  const any = node.next.get(ONE);
  if (any !== undefined) collect(any, tokens, at + 1, found);
}

function hasWildcard(topic: string): boolean {
  // Most topics have neither sign, and need no tokens.
  if (!topic.includes(ONE) && !topic.includes(REST)) return false;
  return topic.split(".").some((token) => token === ONE || token === REST);
}

function checkTokens(topic: string, what: string): string[] {
  if (typeof topic !== "string") {
    const rule = `must be a string, not ${typeof topic}`;
    throw new TopicError(`${what} ${rule}`, `it ${rule}`);
  }
  // A code unit takes 1 to 3 bytes of UTF-8: most topics are short enough without counting.
  const short = topic.length * 3 <= LONGEST_TOPIC_BYTES;
  if (!short && new TextEncoder().encode(topic).length > LONGEST_TOPIC_BYTES) {
    throw wrong(what, topic, `it must have at most ${LONGEST_TOPIC_BYTES} bytes`);
  }
  if (/\s|\0/.test(topic)) throw wrong(what, topic, "it must not contain whitespace");
  const tokens = topic.split(".");
  if (tokens.length > MOST_TOPIC_TOKENS) {
    throw wrong(what, topic, `it must have at most ${MOST_TOPIC_TOKENS} tokens between dots`);
  }
  if (tokens.includes("")) throw wrong(what, topic, "no token between dots may be empty");
  return tokens;
}

function wrong(what: string, topic: string, rule: string): TopicError {
  return new TopicError(`${what} cannot be ${JSON.stringify(topic.slice(0, 300))}: ${rule}`, rule);
}
