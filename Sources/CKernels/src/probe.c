/// Probes of the machine's limits: read bandwidth and f32 multiply-add throughput.
#include <stdatomic.h>

#include "internal.h"

enum { READ_BLOCK = 1 << 20 };

typedef struct {
  const bk_table *o;
  const char *data;
  size_t bytes, iterations;
  _Atomic float sink;
  atomic_size_t calls;
} job;

static void read_body(void *ctx, size_t begin, size_t end) {
  job *j = ctx;
  size_t first = begin * READ_BLOCK, last = bk_min(end * READ_BLOCK, j->bytes);
  atomic_store(&j->sink, j->o->probe_read(j->data + first, last - first));
}

float bk_probe_read(bk_pool *pool, const void *data, size_t bytes) {
  job j = {.o = bk_ops(), .data = data, .bytes = bytes};
  size_t blocks = bk_ceil(bytes, READ_BLOCK);
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
