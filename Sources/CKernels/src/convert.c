/// Bulk conversion between float formats.
#include <string.h>

#include "internal.h"

size_t bk_dtype_size(bk_dtype dtype) { return dtype == BK_F32 ? 4 : 2; }

enum { BLOCK = 16384, STAGE = 1024 };

typedef struct {
  const bk_table *o;
  bk_dtype dst_type, src_type;
  char *dst;
  const char *src;
  size_t count;
} job;

static void convert(const job *j, char *dst, const char *src, size_t n) {
  if (j->dst_type == j->src_type) {
    memcpy(dst, src, n * bk_dtype_size(j->dst_type));
  } else if (j->dst_type == BK_F32 || j->src_type == BK_F32) {
    j->o->convert[j->dst_type][j->src_type](dst, src, n);
  } else {
    float stage[STAGE];
    for (size_t i = 0; i < n; i += STAGE) {
      size_t part = bk_min(n - i, STAGE);
      j->o->convert[BK_F32][j->src_type](stage, src + 2 * i, part);
      j->o->convert[j->dst_type][BK_F32](dst + 2 * i, stage, part);
    }
  }
}

static void body(void *ctx, size_t begin, size_t end) {
  const job *j = ctx;
  size_t first = begin * BLOCK, n = bk_min(end * BLOCK, j->count) - first;
  convert(j, j->dst + first * bk_dtype_size(j->dst_type), j->src + first * bk_dtype_size(j->src_type), n);
}

void bk_convert(bk_pool *pool, bk_dtype dst_type, void *dst, bk_dtype src_type, const void *src, size_t count) {
  if (count == 0) return;
  job j = {bk_ops(), dst_type, src_type, dst, src, count};
  size_t blocks = bk_ceil(count, BLOCK);
  bk_pool_run(bk_pool_for(pool, (double)count), blocks, bk_grain(pool, blocks, BLOCK, 2e5), body, &j);
}

void bk_cast(bk_dtype dst_type, void *dst, bk_dtype src_type, const void *src, size_t count, bk_cast_counts *counts) {
  const bk_table *o = bk_ops();
  if (o->cast[dst_type][src_type])
    o->cast[dst_type][src_type](dst, src, count, counts);
  else
    bk_convert(NULL, dst_type, dst, src_type, src, count);
}

void bk_cast_f64(bk_dtype dst_type, void *dst, const void *src, size_t count, bk_cast_counts *counts) {
  bk_ops()->cast_f64(dst_type, dst, src, count, counts);
}

void bk_widen_f64(void *dst, bk_dtype src_type, const void *src, size_t count) {
  float stage[STAGE];
  for (size_t i = 0; i < count; i += STAGE) {
    const size_t part = bk_min(count - i, STAGE);
    bk_convert(NULL, BK_F32, stage, src_type, (const char *)src + i * bk_dtype_size(src_type), part);
    for (size_t k = 0; k < part; k++) {
      const double x = (double)stage[k];
      memcpy((char *)dst + (i + k) * sizeof x, &x, sizeof x);
    }
  }
}

#define LOOKUP(type)                                                         \
  for (size_t i = 0; i < count; i++)                                         \
  memcpy((char *)dst + i * sizeof(type), (const char *)table + codes[i] * sizeof(type), sizeof(type))

int bk_lookup(int element_size, void *dst, const uint8_t *codes, size_t count, const void *table) {
  switch (element_size) {
    case 2: LOOKUP(uint16_t); break;
    case 4: LOOKUP(uint32_t); break;
    case 8: LOOKUP(uint64_t); break;
    default: return BK_EARGUMENT;
  }
  return BK_OK;
}
