/// Inputs quantized when a model runs, and products with quantized weights, parallel over rows and columns.
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "internal.h"

typedef struct {
  const bk_table *o;
  const bk_quant_rows *q;
} rows_job;

static float power_of_two(uint8_t exponent) { return exponent == 255 ? NAN : ldexpf(1.0f, exponent - 127); }

static void dynamic_row(const rows_job *j, size_t row) {
  const bk_quant_rows *q = j->q;
  const float *x = q->x + row * q->x_stride;
  uint8_t *codes = (uint8_t *)q->codes + row * q->k;
  const float most = j->o->magnitude_row(x, q->k), limit = q->limit, factor = limit / most;
  const bool is_e4m3 = q->what == BK_DYNAMIC_E4M3;
  if (!(most > 0) || !isfinite(most) || !isfinite(factor)) {
    memset(codes, 0, q->k);
    q->scales[row] = isfinite(most) ? 0.0f : NAN;
    return;
  }
  const float step = 1.0f / limit, scale = most * step;
  q->scales[row] = scale;
  if (is_e4m3) return j->o->quant_e4m3(BK_F32, codes, x, q->k, scale);
  j->o->codes_row((int8_t *)codes, x, q->k, q->divides ? scale : factor, q->divides, 0, false, -limit, limit);
}

static void block_row(const rows_job *j, size_t row) {
  const bk_quant_rows *q = j->q;
  const size_t blocks = bk_ceil(q->k, 32);
  const bool is_e2m1 = q->what == BK_DYNAMIC_MX_E2M1;
  for (size_t b = 0; b < blocks; b++) {
    const size_t first = b * 32, n = bk_min(32, q->k - first);
    const float *x = q->x + row * q->x_stride + first;
    const float most = j->o->magnitude_row(x, n);
    uint8_t *exponent = q->exponents + row * blocks + b, codes[32] = {0};
    if (isfinite(most)) {
      int e = 0;
      if (most > 0) frexpf(most, &e);
      e = most > 0 ? e - 1 - (is_e2m1 ? 2 : 8) : -127;
      if (e < -127) e = -127;
      *exponent = (uint8_t)(e + 127);
      if (is_e2m1) j->o->quant_mx(BK_F32, codes, x, n, e, true);
      else j->o->quant_e4m3(BK_F32, codes, x, n, ldexpf(1.0f, e));
    } else {
      *exponent = 255;
    }
    uint8_t *out = (uint8_t *)q->codes + (row * q->k + first) / (is_e2m1 ? 2 : 1);
    if (!is_e2m1) memcpy(out, codes, n);
    else
      for (size_t i = 0; i < n; i += 2) out[i / 2] = (uint8_t)(codes[i] | codes[i + 1] << 4);
  }
}

static void rows_body(void *ctx, size_t begin, size_t end) {
  const rows_job *j = ctx;
  const bk_quant_rows *q = j->q;
  for (size_t row = begin; row < end; row++) switch (q->what) {
      case BK_STATIC_INT8:
        j->o->codes_row((int8_t *)q->codes + row * q->k, q->x + row * q->x_stride, q->k, q->scale, false, q->offset,
                        q->half, -128, 127);
        break;
      case BK_DYNAMIC_INT8:
      case BK_DYNAMIC_E4M3: dynamic_row(j, row); break;
      case BK_DYNAMIC_MX_E4M3:
      case BK_DYNAMIC_MX_E2M1: block_row(j, row); break;
    }
}

int bk_quantize_rows(bk_pool *pool, const bk_quant_rows *args) {
  if (args->what == BK_DYNAMIC_MX_E2M1 && args->k % 2 != 0) return BK_EARGUMENT;
  rows_job j = {bk_ops(), args};
  const double row = 8.0 * (double)args->k;
  bk_pool_run(bk_pool_for(pool, row * (double)args->rows), args->rows, bk_grain(pool, args->rows, row, 1e5), rows_body,
              &j);
  return BK_OK;
}

// ------------------------------------------------------------------------------------------------------- widening

typedef struct {
  const bk_table *o;
  const bk_codes *w;
  float *y;
} widen_job;

static size_t code_groups(const bk_codes *w) {
  return w->exponents ? bk_ceil(w->columns, 32) : w->groups ? w->groups : 1;
}

/// One row of a weight or input as floats; int4 comes in pairs of rows.
static void widen_row(const bk_table *o, const bk_codes *w, size_t row, float *y) {
  enum { PIECE = 512 };
  const size_t k = w->columns, groups = code_groups(w);
  const size_t size = w->exponents ? 32 : k / bk_max(groups, 1);
  for (size_t g = 0; g < groups; g++) {
    const size_t first = g * size, n = bk_min(size, k - first), at = row * groups + g;
    const uint8_t *codes = w->data;
    const float scale = w->exponents ? power_of_two(w->exponents[at]) : w->scales ? w->scales[at] : 1.0f;
    const float offset = w->offsets ? w->offsets[at] : 0.0f;
    switch (w->type) {
      case BK_CODES_INT8:
        o->widen_i8(w->rounding, y + first, (const int8_t *)codes + row * k + first, n, scale, offset);
        break;
      case BK_CODES_INT4:
      case BK_CODES_INT4_PAIRS:
        for (size_t i = 0; i < n; i += PIECE) {
          const size_t count = bk_min(PIECE, n - i), column = first + i;
          const bool pairs = w->type == BK_CODES_INT4_PAIRS;
          int8_t single[PIECE];
          for (size_t c = 0; c < count; c++) {
            const size_t at = row * k + column + c;
            const uint8_t both = pairs ? codes[row / 2 * k + column + c] : codes[at / 2];
            single[c] = (int8_t)((((pairs ? row : at) % 2 ? both >> 4 : both & 15) ^ 8) - 8);
          }
          o->widen_i8(w->rounding, y + first + i, single, count, scale, offset);
        }
        break;
      case BK_CODES_E4M3: o->widen_e4m3(y + first, codes + row * k + first, n, scale); break;
      case BK_CODES_E2M1: o->widen_e2m1(y + first, codes + (row * k + first) / 2, n, scale); break;
    }
  }
}

static void widen_body(void *ctx, size_t begin, size_t end) {
  const widen_job *j = ctx;
  for (size_t row = begin; row < end; row++) widen_row(j->o, j->w, row, j->y + row * j->w->columns);
}

void bk_widen_codes(bk_pool *pool, const bk_codes *codes, float *y) {
  widen_job j = {bk_ops(), codes, y};
  const double row = 4.0 * (double)codes->columns;
  bk_pool_run(bk_pool_for(pool, row * (double)codes->rows), codes->rows, bk_grain(pool, codes->rows, row, 1e5),
              widen_body, &j);
}

// ------------------------------------------------------------------------------------------------------- products

enum {
  COLUMNS = 32,  ///< columns of the result at a time, an even number
  ROWS = 64      ///< rows at a time
};

typedef struct {
  const bk_table *o;
  const bk_quant_linear *g;
  _Atomic int error;
} job;

/// One column block: sums of each group, then scales in the order that the chip has.
static void whole_block(const job *j, size_t column, size_t columns) {
  const bk_quant_linear *g = j->g;
  const bk_codes *w = &g->w;
  const size_t k = w->columns, groups = code_groups(w), size = k / groups;
  const bool pairs = w->type == BK_CODES_INT4_PAIRS;
  const char *codes = (const char *)w->data + (pairs ? column / 2 : column) * k;
  int32_t sums[ROWS * COLUMNS];
  for (size_t row = 0; row < g->m; row += ROWS) {
    const size_t rows = bk_min(ROWS, g->m - row);
    for (size_t group = 0; group < groups; group++) {
      (pairs ? j->o->dots_i4 : j->o->dots_i8)(rows, columns, size, g->x + row * k + group * size, k,
                                              codes + group * size, k, sums, COLUMNS);
      for (size_t r = 0; r < rows; r++) {
        float *y = g->y + (row + r) * g->y_stride + column;
        const float token = g->tokens ? g->tokens[row + r] : 1.0f;
        for (size_t c = 0; c < columns; c++) {
          uint32_t sum = (uint32_t)sums[r * COLUMNS + c];
          if (g->whole_bias) sum += (uint32_t)g->whole_bias[column + c];
          const float part = (float)(int32_t)sum * w->scales[(column + c) * groups + group];
          float value = group == 0 ? part : y[c] + part;
          if (group + 1 == groups) {
            value = value * token;
            if (g->bias) value = value + g->bias[column + c];
          }
          y[c] = value;
        }
      }
    }
  }
}

static void whole_body(void *ctx, size_t begin, size_t end) {
  const job *j = ctx;
  for (size_t b = begin; b < end; b++) {
    const size_t column = b * COLUMNS;
    whole_block(j, column, bk_min(COLUMNS, j->g->w.rows - column));
  }
}

static void wide_body(void *ctx, size_t begin, size_t end) {
  job *j = ctx;
  const bk_quant_linear *g = j->g;
  const size_t k = g->w.columns;
  float *rows = bk_scratch(BK_SCRATCH_WORK, bk_max(COLUMNS / 2 * k, 1) * sizeof(float));
  if (!rows) {
    j->error = BK_EMEMORY;
    return;
  }
  for (size_t b = begin; b < end; b++) {
    const size_t column = b * (COLUMNS / 2), columns = bk_min(COLUMNS / 2, g->w.rows - column);
    for (size_t c = 0; c < columns; c++) widen_row(j->o, &g->w, column + c, rows + c * k);
    j->o->dots[BK_F32](g->m, columns, k, g->wide_x, g->x_stride, rows, k, g->y + column, g->y_stride);
    if (!g->out_scales && !g->tokens && !g->bias) continue;
    for (size_t r = 0; r < g->m; r++) {
      float *y = g->y + r * g->y_stride + column;
      for (size_t c = 0; c < columns; c++) {
        float value = y[c];
        if (g->out_scales) value = value * g->out_scales[column + c];
        if (g->tokens) value = value * g->tokens[r];
        if (g->bias) value = value + g->bias[column + c];
        y[c] = value;
      }
    }
  }
}

int bk_linear_quantized(bk_pool *pool, const bk_quant_linear *args) {
  const bk_codes *w = &args->w;
  const bool whole = args->x != NULL;
  if (whole && (w->exponents || !w->scales || w->offsets)) return BK_EARGUMENT;
  if (whole && w->type != BK_CODES_INT8 && w->type != BK_CODES_INT4_PAIRS) return BK_EARGUMENT;
  if (args->m == 0 || w->rows == 0) return BK_OK;
  job j = {.o = bk_ops(), .g = args};
  const double work = (double)args->m * (double)w->rows * (double)bk_max(w->columns, 1) / (whole ? 2 : 1);
  const size_t blocks = bk_ceil(w->rows, whole ? COLUMNS : COLUMNS / 2);
  bk_pool_run(bk_pool_for(pool, work), blocks, bk_grain(pool, blocks, work / (double)blocks, 5e4),
              whole ? whole_body : wide_body, &j);
  return j.error;
}
