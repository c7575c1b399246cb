/// Probes of the machine's limits: read bandwidth and f32 multiply-add throughput.
#include <stdatomic.h>

#include "internal.h"

enum { READ_BLOCK = 1 << 20 };

typedef struct {
  const bk_table *o;
  const bk_region *regions;
  size_t count, iterations;
  _Atomic float sink;
} job;

static size_t region_blocks(const bk_region *region) { return bk_ceil(region->bytes, READ_BLOCK); }

static void read_body(void *ctx, size_t begin, size_t end) {
  job *j = ctx;
  float sum = 0;
  for (size_t r = 0, first = 0; r < j->count && first < end; first += region_blocks(&j->regions[r++])) {
    const size_t blocks = region_blocks(&j->regions[r]);
    if (first + blocks <= begin) continue;
    const uintptr_t data = (uintptr_t)j->regions[r].data, limit = data + j->regions[r].bytes;
    const uintptr_t from = data + (bk_max(begin, first) - first) * READ_BLOCK, aligned = (from + 63) / 64 * 64;
    const uintptr_t to = end < first + blocks ? data + (end - first) * READ_BLOCK : limit;
    if (aligned < to) sum += j->o->probe_read((const void *)aligned, to - aligned);
  }
  atomic_store(&j->sink, sum);
}

float bk_probe_read(bk_pool *pool, size_t count, const bk_region *regions) {
  job j = {.o = bk_ops(), .regions = regions, .count = count};
  size_t blocks = 0;
  for (size_t r = 0; r < count; r++) blocks += region_blocks(&regions[r]);
  bk_pool_run(pool, blocks, bk_grain(pool, blocks, READ_BLOCK, 0), read_body, &j);
  return atomic_load(&j.sink);
}

static void fma_body(void *ctx, size_t begin, size_t end) {
  job *j = ctx;
  for (size_t i = begin; i < end; i++) j->o->probe_fma(j->iterations);
}

double bk_probe_fma(bk_pool *pool, size_t iterations) {
  enum { RUNS = 16 };
  job j = {.o = bk_ops(), .iterations = iterations / RUNS + 1};
  const size_t runs = RUNS * (size_t)bk_pool_threads(pool);
  const double each = j.o->probe_fma(1) * (double)j.iterations;
  bk_pool_run(pool, runs, 1, fma_body, &j);
  return each * (double)runs;
}
