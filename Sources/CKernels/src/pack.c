/// Packing of weights into panels of 16 columns (layouts in CKernels.h).
#include <string.h>

#include "internal.h"

enum { STAGE_K = 256 };

/// Bytes of one panel.
static size_t panel_size(bk_dtype dtype, size_t k) {
  return dtype == BK_BF16 ? (k + 1) / 2 * BK_PANEL * 4 : k * BK_PANEL * bk_dtype_size(dtype);
}

size_t bk_pack_size(bk_dtype dtype, size_t n, size_t k) { return bk_ceil(n, BK_PANEL) * panel_size(dtype, k); }

static void convert_row(const bk_table *o, bk_dtype dtype, void *dst, bk_dtype src_type, const void *src, size_t n) {
  if (dtype == src_type) {
    memcpy(dst, src, n * bk_dtype_size(dtype));
  } else if (dtype == BK_F32 || src_type == BK_F32) {
    o->convert[dtype][src_type](dst, src, n);
  } else {
    float wide[STAGE_K];
    o->convert[BK_F32][src_type](wide, src, n);
    o->convert[dtype][BK_F32](dst, wide, n);
  }
}

/// Source [n, k]: 16 rows side by side.
static void pack_rows(const bk_table *o, bk_dtype dtype, char *panel, bk_dtype src_type, const char *src, size_t stride,
                      size_t columns, size_t k) {
  _Alignas(64) uint32_t stage[BK_PANEL * STAGE_K];
  const size_t size = bk_dtype_size(dtype), src_size = bk_dtype_size(src_type);
  if (dtype == BK_F32 && src_type == BK_F32 && columns == BK_PANEL && ((uintptr_t)src & 3) == 0) {
    o->transpose((uint32_t *)(void *)panel, (const uint32_t *)(const void *)src, stride, k);
    return;
  }
  memset(stage, 0, sizeof stage);
  for (size_t k0 = 0; k0 < k; k0 += STAGE_K) {
    const size_t part = bk_min(k - k0, STAGE_K);
    if (part < STAGE_K) memset(stage, 0, sizeof stage);
    for (size_t c = 0; c < columns; c++)
      convert_row(o, dtype, (char *)stage + c * STAGE_K * size, src_type, src + (c * stride + k0) * src_size, part);
    if (dtype == BK_F32) {
      o->transpose((uint32_t *)(void *)(panel + k0 * BK_PANEL * 4), stage, STAGE_K, part);
    } else if (dtype == BK_BF16) {
      o->transpose((uint32_t *)(void *)(panel + k0 * BK_PANEL * 2), stage, STAGE_K / 2, (part + 1) / 2);
    } else {
      const uint16_t *in = (const uint16_t *)(const void *)stage;
      uint16_t *out = (uint16_t *)(void *)panel + k0 * BK_PANEL;
      for (size_t i = 0; i < part; i++)
        for (size_t c = 0; c < BK_PANEL; c++) out[i * BK_PANEL + c] = in[c * STAGE_K + i];
    }
  }
}

/// Source [k, n]: 16 columns of each row.
static void pack_columns(const bk_table *o, bk_dtype dtype, char *panel, bk_dtype src_type, const char *src,
                         size_t stride, size_t columns, size_t k) {
  const size_t size = bk_dtype_size(dtype), src_size = bk_dtype_size(src_type);
  if (dtype != BK_BF16) {
    for (size_t i = 0; i < k; i++) {
      char *out = panel + i * BK_PANEL * size;
      convert_row(o, dtype, out, src_type, src + i * stride * src_size, columns);
      if (columns < BK_PANEL) memset(out + columns * size, 0, (BK_PANEL - columns) * size);
    }
    return;
  }
  uint16_t pair[2][BK_PANEL], *out = (uint16_t *)(void *)panel;
  memset(pair, 0, sizeof pair);
  for (size_t i = 0; i < k; i += 2, out += 2 * BK_PANEL) {
    convert_row(o, dtype, pair[0], src_type, src + i * stride * src_size, columns);
    if (i + 1 < k)
      convert_row(o, dtype, pair[1], src_type, src + (i + 1) * stride * src_size, columns);
    else
      memset(pair[1], 0, sizeof pair[1]);
    for (size_t c = 0; c < BK_PANEL; c++) {
      out[2 * c] = pair[0][c];
      out[2 * c + 1] = pair[1][c];
    }
  }
}

void bk_pack_panel(const bk_table *o, bk_dtype dtype, void *panel, bk_dtype src_type, const void *src, size_t stride,
                   bool transposed, size_t first, size_t n, size_t k) {
  const size_t columns = bk_min(n - first, BK_PANEL), src_size = bk_dtype_size(src_type);
  if (transposed)
    pack_columns(o, dtype, panel, src_type, (const char *)src + first * src_size, stride, columns, k);
  else
    pack_rows(o, dtype, panel, src_type, (const char *)src + first * stride * src_size, stride, columns, k);
}

typedef struct {
  const bk_table *o;
  bk_dtype dtype, src_type;
  char *packed;
  const void *src;
  size_t stride, n, k;
  bool transposed;
} job;

static void body(void *ctx, size_t begin, size_t end) {
  const job *j = ctx;
  for (size_t p = begin; p < end; p++)
    bk_pack_panel(j->o, j->dtype, j->packed + p * panel_size(j->dtype, j->k), j->src_type, j->src, j->stride,
                  j->transposed, p * BK_PANEL, j->n, j->k);
}

int bk_pack(bk_pool *pool, bk_dtype dtype, void *packed, bk_dtype src_type, const void *src, size_t stride,
            bool transposed, size_t n, size_t k) {
  job j = {bk_ops(), dtype, src_type, packed, src, stride, n, k, transposed};
  size_t panels = bk_ceil(n, BK_PANEL);
  bk_pool_run(bk_pool_for(pool, (double)n * (double)k), panels, bk_grain(pool, panels, 16.0 * (double)k, 1e5), body,
              &j);
  return BK_OK;
}
