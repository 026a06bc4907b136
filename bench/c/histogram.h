/*
 * A histogram of durations in nanoseconds: 128 buckets per power of two, so that
 * a value is off by at most 1/128 of itself (0.4 % as the middle of its bucket is
 * reported), up to 2^42 ns. Recording is a shift and an addition.
 */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>
#include <string.h>

enum { HISTOGRAM_BITS = 7, HISTOGRAM_SUB = 1 << HISTOGRAM_BITS, HISTOGRAM_OCTAVES = 36 };

struct histogram {
  uint64_t count, max;
  uint64_t buckets[HISTOGRAM_OCTAVES * HISTOGRAM_SUB];
};

static inline void histogram_clear(struct histogram *h) { memset(h, 0, sizeof *h); }

static inline void histogram_record(struct histogram *h, uint64_t value) {
  unsigned octave = 0; /* values below 128 are exact, in octave 0 */
  if (value >= HISTOGRAM_SUB) octave = 64 - HISTOGRAM_BITS - (unsigned)__builtin_clzll(value);
  uint64_t index = octave == 0 ? value
                               : (uint64_t)octave * HISTOGRAM_SUB +
                                     ((value >> (octave - 1)) - HISTOGRAM_SUB);
  uint64_t last = HISTOGRAM_OCTAVES * HISTOGRAM_SUB - 1;
  h->buckets[index < last ? index : last]++;
  h->count++;
  if (value > h->max) h->max = value;
}

/* The middle of the bucket that holds the given quantile; never above the maximum. */
static inline uint64_t histogram_quantile(const struct histogram *h, double quantile) {
  if (h->count == 0) return 0;
  uint64_t rank = (uint64_t)((double)h->count * quantile);
  if (rank >= h->count) rank = h->count - 1;
  uint64_t seen = 0;
  for (unsigned index = 0; index < HISTOGRAM_OCTAVES * HISTOGRAM_SUB; index++) {
    seen += h->buckets[index];
    if (seen <= rank) continue;
    unsigned octave = index / HISTOGRAM_SUB, sub = index % HISTOGRAM_SUB;
    if (octave == 0) return sub;
    uint64_t low = (uint64_t)(HISTOGRAM_SUB + sub) << (octave - 1);
    uint64_t middle = low + ((uint64_t)1 << (octave - 1)) / 2;
    return middle < h->max ? middle : h->max;
  }
  return h->max;
}

#endif
