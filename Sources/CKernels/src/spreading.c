/// Rounding of columns whose errors the columns after them make up for, parallel over rows.
#include <stdatomic.h>

#include "internal.h"

typedef struct {
  const bk_table *o;
  const bk_rounding *args;
  atomic_int error;
} job;

static void body(void *ctx, size_t begin, size_t end) {
  job *j = ctx;
  const size_t step = j->o->quant_rows;
  float *columns = bk_scratch(BK_SCRATCH_WORK, step * j->args->columns * sizeof(float));
  if (!columns) {
    atomic_store(&j->error, BK_EMEMORY);
    return;
  }
  for (size_t i = begin; i < end; i++) {
    const size_t first = i * step, rows = bk_min(step, j->args->rows - first);
    if (!j->o->quant_spreading(j->args, first, rows, columns)) atomic_store(&j->error, BK_ENUMBER);
  }
}

int bk_quant_spreading(bk_pool *pool, const bk_rounding *args) {
  if (args->group == 0) return BK_EARGUMENT;
  if (args->rows == 0 || args->columns == 0) return BK_OK;
  job j = {.o = bk_ops(), .args = args};
  const size_t count = bk_ceil(args->rows, j.o->quant_rows);
  const double work = (double)args->columns * (double)args->columns * (double)j.o->quant_rows / 4;
  bk_pool_run(bk_pool_for(pool, work * (double)count), count, bk_grain(pool, count, work, 5e4), body, &j);
  return atomic_load(&j.error);
}
