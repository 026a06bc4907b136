// Queue groups: of the subscriptions with one pattern and one group name, in all threads, one gets each message.
//
// Every thread knows how many members each other thread has, and whoever publishes chooses: round robin over all members. What
// is sent to the other threads names the thread whose turn it is. A thread that starts asks, and the others forget what they
// knew of its predecessor; while that is on its way a message may find a thread without members, and then nobody gets it: queue
// groups share work, they do not keep it.

import { TopicTree } from "../topics.ts";
import type { Subscription } from "./subscription.ts";

/** A thread's members of one group, as it tells the others. */
export interface GroupNews {
  readonly swp: "group";
  readonly thread: number;
  readonly pattern: string;
  readonly group: string;
  readonly members: number;
}

/** "I am new: who is there?" */
export interface GroupQuestion {
  readonly swp: "groups?";
  readonly thread: number;
}

/** Whose turn it is: pattern, group, thread. */
export type Turn = readonly [pattern: string, group: string, thread: number];

class Group {
  readonly pattern: string;
  readonly name: string;
  readonly members: Subscription[] = [];
  /** Members in other threads, by thread. */
  readonly elsewhere = new Map<number, number>();
  turn = 0;

  constructor(pattern: string, name: string) {
    this.pattern = pattern;
    this.name = name;
  }

  get size(): number {
    let size = this.members.length;
    for (const count of this.elsewhere.values()) size += count;
    return size;
  }
}

export class QueueGroups {
  readonly #thread: number;
  readonly #tell: (news: GroupNews | GroupQuestion) => void;
  readonly #tree = new TopicTree<Group>();
  readonly #byName = new Map<string, Group>();

  constructor(thread: number, tell: (news: GroupNews | GroupQuestion) => void) {
    this.#thread = thread;
    this.#tell = tell;
  }

  /** This thread has just started. */
  ask(): void {
    this.#tell({ swp: "groups?", thread: this.#thread });
  }

  add(subscription: Subscription): void {
    const group = this.#group(subscription.pattern, subscription.group);
    group.members.push(subscription);
    this.#tellOf(group);
  }

  remove(subscription: Subscription): void {
    const group = this.#group(subscription.pattern, subscription.group);
    const at = group.members.indexOf(subscription);
    if (at >= 0) group.members.splice(at, 1);
    this.#tellOf(group);
    this.#forgetIfEmpty(group);
  }

  /** For a message that is published in this thread: whose turn it is, for each group that wants it. */
  turns(topic: string): Turn[] {
    const groups = this.#tree.matching(topic);
    return groups === undefined ? [] : [...groups].map((group) => this.#turnOf(group));
  }

  #turnOf(group: Group): Turn {
    let place = group.turn++ % group.size;
    let thread = this.#thread;
    if (place >= group.members.length) {
      place -= group.members.length;
      for (const [other, count] of group.elsewhere) {
        thread = other;
        if (place < count) break;
        place -= count;
      }
    }
    return [group.pattern, group.name, thread];
  }

  /** The members of this thread whose turn it is; a member who keeps up is preferred. */
  *chosen(turns: readonly Turn[]): Generator<Subscription> {
    for (const [pattern, name, thread] of turns) {
      if (thread !== this.#thread) continue;
      const members = this.#byName.get(key(pattern, name))?.members ?? [];
      const first = members.shift();
      if (first === undefined) continue;
      members.push(first);
      yield members.findLast(({ waiting }) => waiting === 0) ?? first;
    }
  }

  /** What another thread tells. */
  heard(news: GroupNews | GroupQuestion): void {
    if (news.swp === "groups?") {
      for (const group of [...this.#byName.values()]) {
        group.elsewhere.delete(news.thread);
        if (group.members.length > 0) this.#tellOf(group);
        this.#forgetIfEmpty(group);
      }
      return;
    }
    const group = this.#group(news.pattern, news.group);
    if (news.members > 0) group.elsewhere.set(news.thread, news.members);
    else group.elsewhere.delete(news.thread);
    this.#forgetIfEmpty(group);
  }

  #tellOf({ pattern, name, members }: Group): void {
    const thread = this.#thread;
    this.#tell({ swp: "group", thread, pattern, group: name, members: members.length });
  }

  #group(pattern: string, name: string): Group {
    const known = this.#byName.get(key(pattern, name));
    if (known !== undefined) return known;
    const group = new Group(pattern, name);
    this.#byName.set(key(pattern, name), group);
    this.#tree.add(pattern, group);
    return group;
  }

  #forgetIfEmpty(group: Group): void {
    if (group.size > 0) return;
    this.#byName.delete(key(group.pattern, group.name));
    this.#tree.delete(group.pattern, group);
  }
}

function key(pattern: string, name: string): string {
  return `${pattern}\n${name}`;
}
