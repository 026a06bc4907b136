// A histogram of times, over memory that several threads may share: one writes, others read while it does.
//
// Log-linear, as HDR histograms are: 128 buckets for each power of two of nanoseconds, so that a bucket's middle is off by
// 0.4 % at the most. Recording is a shift and an addition, 5 ns where Node's own RecordableHistogram takes 35 (decision
// 0030): at a million messages a second the difference is the generator's own speed.
// Invariant: the counts of all buckets add up to `count`.

const SUB_BITS = 7;
const SUB_BUCKETS = 1 << SUB_BITS;
/** Octaves of 2⁷ up to 2⁴² ns (73 minutes); what is longer counts in the last bucket, its maximum is exact. */
const OCTAVES = 36;
export const BUCKETS = OCTAVES * SUB_BUCKETS;
// Behind the buckets: how many, their sum, the sum of their squares (ns and ns²), the least and the greatest.
const COUNT = BUCKETS;
const SUM = BUCKETS + 1;
const SQUARES = BUCKETS + 2;
const LEAST = BUCKETS + 3;
const GREATEST = BUCKETS + 4;
/** Doubles that a histogram takes. */
export const HISTOGRAM_DOUBLES = BUCKETS + 8;

const SMALL = 2 ** 31;

export class LatencyHistogram {
  readonly #cells: Float64Array;

  /** Over `cells`, which has HISTOGRAM_DOUBLES entries: zero ones are an empty histogram. */
  constructor(cells: Float64Array = new Float64Array(HISTOGRAM_DOUBLES)) {
    if (cells.length !== HISTOGRAM_DOUBLES) {
      throw new RangeError(`a histogram takes ${HISTOGRAM_DOUBLES} doubles, not ${cells.length}`);
    }
    this.#cells = cells;
  }

  get count(): number {
    return this.#cells[COUNT] as number;
  }

  /** Records a time in ns, `times` times over; one below 0 (clocks of several readings) counts as 0. */
  record(ns: number, times = 1): void {
    const cells = this.#cells;
    const value = ns > 0 ? ns : 0;
    const index = bucketOf(value);
    const count = cells[COUNT] as number;
    cells[index] = (cells[index] as number) + times;
    cells[SUM] = (cells[SUM] as number) + value * times;
    cells[SQUARES] = (cells[SQUARES] as number) + value * value * times;
    if (count === 0 || value < (cells[LEAST] as number)) cells[LEAST] = value;
    if (value > (cells[GREATEST] as number)) cells[GREATEST] = value;
    cells[COUNT] = count + times;
  }

  /** Adds all that `other` holds. */
  add(other: LatencyHistogram): void {
    const cells = this.#cells;
    const more = other.#cells;
    if (more[COUNT] === 0) return;
    const least =
      cells[COUNT] === 0
        ? (more[LEAST] as number)
        : Math.min(cells[LEAST] as number, more[LEAST] as number);
    for (let index = 0; index <= SQUARES; index++) {
      cells[index] = (cells[index] as number) + (more[index] as number);
    }
    cells[LEAST] = least;
    cells[GREATEST] = Math.max(cells[GREATEST] as number, more[GREATEST] as number);
  }

  /** What was recorded since `earlier`, a copy of this histogram; its least and greatest are the buckets' middles. */
  since(earlier: LatencyHistogram): LatencyHistogram {
    const difference = new LatencyHistogram();
    const cells = difference.#cells;
    let count = 0;
    for (let index = 0; index < BUCKETS; index++) {
      const more = (this.#cells[index] as number) - (earlier.#cells[index] as number);
      if (more <= 0) continue;
      cells[index] = more;
      if (count === 0) cells[LEAST] = middleOf(index);
      cells[GREATEST] = middleOf(index);
      count += more;
    }
    // Counted afresh: the writer may be in the middle of a record.
    cells[COUNT] = count;
    cells[SUM] = (this.#cells[SUM] as number) - (earlier.#cells[SUM] as number);
    cells[SQUARES] = (this.#cells[SQUARES] as number) - (earlier.#cells[SQUARES] as number);
    return difference;
  }

  copy(): LatencyHistogram {
    return new LatencyHistogram(this.#cells.slice());
  }

  clear(): void {
    this.#cells.fill(0);
  }

  get leastNs(): number {
    return this.#cells[LEAST] as number;
  }

  get greatestNs(): number {
    return this.#cells[GREATEST] as number;
  }

  get meanNs(): number {
    return this.count === 0 ? 0 : (this.#cells[SUM] as number) / this.count;
  }

  get deviationNs(): number {
    if (this.count === 0) return 0;
    return Math.sqrt(Math.max((this.#cells[SQUARES] as number) / this.count - this.meanNs ** 2, 0));
  }

  /** The time that a share of 0 to 1 of all was not above, in ns; 0 without any. */
  quantileNs(share: number): number {
    const { count } = this;
    if (count === 0) return 0;
    const rank = Math.min(Math.max(Math.ceil(count * share), 1), count);
    let seen = 0;
    for (let index = 0; index < BUCKETS; index++) {
      seen += this.#cells[index] as number;
      if (seen >= rank) return Math.min(Math.max(middleOf(index), this.leastNs), this.greatestNs);
    }
    return this.greatestNs;
  }

  /** The buckets that hold something: their middle in ns, and how many. */
  *filled(): Generator<readonly [ns: number, count: number]> {
    for (let index = 0; index < BUCKETS; index++) {
      const count = this.#cells[index] as number;
      if (count > 0) yield [middleOf(index), count];
    }
  }

  /** One with these buckets, as `filled` gave them, and these exact figures. */
  static of(
    filled: Iterable<readonly [ns: number, count: number]>,
    exact?: { readonly leastNs: number; readonly greatestNs: number },
  ): LatencyHistogram {
    const histogram = new LatencyHistogram();
    const cells = histogram.#cells;
    for (const [ns, count] of filled) {
      const index = bucketOf(ns);
      if (cells[COUNT] === 0) cells[LEAST] = ns;
      cells[index] = (cells[index] as number) + count;
      cells[COUNT] = (cells[COUNT] as number) + count;
      cells[SUM] = (cells[SUM] as number) + ns * count;
      cells[SQUARES] = (cells[SQUARES] as number) + ns * ns * count;
      cells[GREATEST] = ns;
    }
    if (exact !== undefined) {
      cells[LEAST] = exact.leastNs;
      cells[GREATEST] = exact.greatestNs;
    }
    return histogram;
  }
}

/** Bucket of a time ≥ 0 in ns. Below 128 each has one of its own; then 128 for each power of two. */
function bucketOf(ns: number): number {
  if (ns < SMALL) {
    const value = ns | 0;
    if (value < SUB_BUCKETS) return value;
    const octave = 32 - SUB_BITS - Math.clz32(value);
    return octave * SUB_BUCKETS + ((value >>> (octave - 1)) - SUB_BUCKETS);
  }
  // Beyond 32 bits: as the value without its 20 lowest bits, 20 octaves further up.
  const high = Math.min(Math.floor(ns / 2 ** 20), SMALL - 1);
  const octave = 32 - SUB_BITS - Math.clz32(high);
  const index = (octave + 20) * SUB_BUCKETS + ((high >>> (octave - 1)) - SUB_BUCKETS);
  return Math.min(index, BUCKETS - 1);
}

function middleOf(index: number): number {
  const octave = index >>> SUB_BITS;
  const sub = index & (SUB_BUCKETS - 1);
  if (octave === 0) return sub;
  const width = 2 ** (octave - 1);
  return (SUB_BUCKETS + sub) * width + Math.floor(width / 2);
}
