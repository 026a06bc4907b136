// Sizes of messages: one for all, evenly between two, exponentially around a mean, or several with weights.
//
//   64              always 64 bytes
//   16-1024         each size from 16 to 1024 equally often
//   exp:512         exponential with this mean, at least 1 byte, at most 16 times the mean
//   64:9,4096:1     nine of 64 bytes for each of 4096

import type { Random } from "../driver/random.ts";
import { OptionError } from "../limits.ts";

export interface Sizes {
  /** As it was written. */
  readonly text: string;
  readonly least: number;
  readonly most: number;
  readonly mean: number;
  draw(random: Random): number;
}

const MOST_BYTES = 16 * 1024 * 1024;
const LONGEST_TAIL = 16;

/** @throws OptionError for anything that is none of the four forms */
export function parseSizes(text: string): Sizes {
  const single = /^\d+$/.exec(text);
  if (single !== null) return fixed(text, checked(text));
  const range = /^(\d+)-(\d+)$/.exec(text);
  if (range !== null) return evenly(text, checked(range[1]), checked(range[2]));
  const exponential = /^exp:(\d+)$/.exec(text);
  if (exponential !== null) return around(text, checked(exponential[1]));
  if (/^\d+:\d+(,\d+:\d+)*$/.test(text)) return weighted(text);
  throw new OptionError(`sizes are written 64, 16-1024, exp:512 or 64:9,4096:1, not "${text}"`);
}

function checked(text: string | undefined): number {
  const size = Number(text);
  if (size >= 1 && size <= MOST_BYTES) return size;
  throw new OptionError(`a message has 1 to ${MOST_BYTES} bytes, not ${text}`);
}

function fixed(text: string, size: number): Sizes {
  return { text, least: size, most: size, mean: size, draw: () => size };
}

function evenly(text: string, least: number, most: number): Sizes {
  if (least > most) throw new OptionError(`"${text}": the smaller size comes first`);
  return {
    text,
    least,
    most,
    mean: (least + most) / 2,
    draw: (random) => random.between(least, most),
  };
}

function around(text: string, mean: number): Sizes {
  const most = Math.min(mean * LONGEST_TAIL, MOST_BYTES);
  const draw = (random: Random) => {
    const size = Math.round(-Math.log(1 - random.fraction()) * mean);
    return Math.min(Math.max(size, 1), most);
  };
  return { text, least: 1, most, mean, draw };
}

function weighted(text: string): Sizes {
  const rows = text.split(",").map((row) => {
    const [size, weight] = row.split(":");
    return { size: checked(size), weight: Number(weight) };
  });
  const total = rows.reduce((sum, { weight }) => sum + weight, 0);
  if (total === 0) throw new OptionError(`"${text}": at least one weight must be above 0`);
  const drawn = rows.filter(({ weight }) => weight > 0);
  const sizes = drawn.map(({ size }) => size);
  return {
    text,
    least: Math.min(...sizes),
    most: Math.max(...sizes),
    mean: drawn.reduce((sum, { size, weight }) => sum + size * weight, 0) / total,
    draw(random) {
      let left = random.below(total);
      for (const { size, weight } of drawn) {
        left -= weight;
        if (left < 0) return size;
      }
      return sizes[0] as number;
    },
  };
}
