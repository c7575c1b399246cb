/// Weight quantization, parallel over rows.
#include <float.h>
#include <math.h>
#include <stdatomic.h>

#include "internal.h"

typedef enum { INT, INT_WITH, FIT, E4M3, MX, MX_ERROR } kind;

typedef struct {
  const bk_table *o;
  kind what;
  const bk_weight *w;
  float *scales, *offsets;
  uint8_t *codes, *exponents;
  double *sums;
  float low, high;
  bk_mx format;
  atomic_bool *odd;
} job;

/// Rounded to the values of a type.
static float to_type(const job *j, float x) {
  if (j->w->type == BK_F32) return x;
  uint16_t half;
  j->o->convert[j->w->type][BK_F32](&half, &x, 1);
  j->o->convert[BK_F32][j->w->type](&x, &half, 1);
  return x;
}

/// Scale and offset of a group with this range, as msModelSlim's minmax calculates them.
static float int_scale(const job *j, float low, float high, float *offset) {
  const float least = to_type(j, FLT_EPSILON), steps = j->high - j->low;
  if (!offset) {
    const float largest = -low > high ? -low : high, scale = to_type(j, largest / j->high);
    return scale > least ? scale : least;
  }
  const float span = to_type(j, to_type(j, high / steps) - to_type(j, low / steps));
  const float scale = span > least ? span : least;
  *offset = to_type(j, rintf(to_type(j, -low / scale)) + j->low);
  return scale;
}

static float to_log2(const job *j, float x) { return to_type(j, (float)log2((double)x)); }
static int within(int x, int low, int high) { return x < low ? low : x > high ? high : x; }

/// log2(x) to the nearest; in the middle to the odd one.
static int nearest_exponent(const job *j, float x) {
  if (x <= 0) return 0;
  const float log = to_log2(j, x), whole = floorf(log), rest = to_type(j, log - whole), width = 1e-6f;
  const bool up = rest > to_type(j, 0.5f + width) || (rest >= to_type(j, 0.5f - width) && fmodf(whole, 2) == 0);
  return (int)whole + up;
}

static double mx_error(const job *j, const void *x, size_t n, int exponent) {
  double sum;
  j->o->quant_mx_error(j->w->type, x, n, exponent, j->format.is_e2m1, &sum);
  return sum;
}
/// Their mean in the weight's type.
static float mx_mean(const job *j, const void *x, size_t n, int exponent) {
  return to_type(j, (float)mx_error(j, x, n, exponent) / (float)j->w->group);
}

static int mx_exponent(const job *j, const void *x, size_t n, float largest) {
  const float tiny = 9.6e-7f;
  switch (j->format.rule) {
    case BK_MX_CEIL: {
      const float most = to_type(j, largest / j->format.divisor);
      return within((int)ceilf(to_log2(j, to_type(j, most + tiny))), -127, 125);
    }
    case BK_MX_NEAREST: {
      const int six = nearest_exponent(j, to_type(j, largest / 6)), four = nearest_exponent(j, to_type(j, largest / 4));
      return mx_mean(j, x, n, six) <= mx_mean(j, x, n, four) ? six : four;
    }
    case BK_MX_LEAST_ERROR: {
      if (largest == 0) return -127;
      const float log = to_log2(j, largest);
      const int up = within((int)ceilf(log) - 8, -127, 127), down = within((int)floorf(log) - 8, -127, 127);
      return mx_mean(j, x, n, up) < mx_mean(j, x, n, down) ? up : down;
    }
    default: break;
  }
  if (!j->format.is_e2m1) return largest == 0 ? -127 : within((int)floorf(to_log2(j, largest)) - 8, -127, 127);
  return within((int)floorf(to_log2(j, to_type(j, to_type(j, largest / 0.875f) + tiny))) - 2, -127, 125);
}

/// Two codes a byte, the first in the low half; `out` may be `codes`.
static void pack_halves(uint8_t *out, const uint8_t *codes, size_t n) {
  for (size_t i = 0; i < n / 2; i++) out[i] = (uint8_t)(codes[2 * i] | codes[2 * i + 1] << 4);
}

static void group(const job *j, size_t row, size_t g, size_t groups) {
  enum { PIECE = 1024 };
  const bk_weight *w = j->w;
  const size_t first = g * w->group, n = bk_min(w->group, w->columns - first), at = row * groups + g;
  const char *x = (const char *)w->data + (row * w->columns + first) * bk_dtype_size(w->type);
  uint8_t *codes = j->codes ? j->codes + row * w->columns + first : NULL;
  if (j->what == INT_WITH)
    return j->o->quant_int(w->type, (int8_t *)codes, x, n, j->scales[at], j->offsets ? j->offsets[at] : 0, j->low,
                           j->high);
  if (j->what == FIT) return j->o->quant_fit(w->type, x, n, j->scales[at], j->low, j->high, j->sums + 3 * at);
  float low, high;
  j->o->quant_range(w->type, x, n, &low, &high);
  if (isnan(high)) return atomic_store_explicit(j->odd, true, memory_order_relaxed);
  const float largest = -low > high ? -low : high;
  switch (j->what) {
    case INT: {
      float offset = 0;
      j->scales[at] = int_scale(j, low, high, j->offsets ? &offset : NULL);
      if (j->offsets) j->offsets[at] = offset;
      return j->o->quant_int(w->type, (int8_t *)codes, x, n, j->scales[at], offset, j->low, j->high);
    }
    case E4M3: {
      const float least = to_type(j, 1e-12f), most = largest > least ? largest : least;
      j->scales[at] = to_type(j, most / 448.0f);
      // A scale that is too small for the type belongs to a group of zeros.
      return j->o->quant_e4m3(w->type, codes, x, n, j->scales[at] > 0 ? j->scales[at] : 1.0f);
    }
    default: {
      const int exponent = mx_exponent(j, x, n, largest);
      if (j->what == MX_ERROR) {
        j->sums[at] = mx_error(j, x, n, exponent);
        return;
      }
      j->exponents[at] = (uint8_t)(exponent + 127);
      if (!j->format.is_e2m1) return j->o->quant_mx(w->type, codes, x, n, exponent, false);
      uint8_t piece[PIECE];
      for (size_t i = 0; i < n; i += PIECE) {
        const size_t count = bk_min(PIECE, n - i);
        j->o->quant_mx(w->type, piece, x + i * bk_dtype_size(w->type), count, exponent, true);
        pack_halves(j->codes + (row * w->columns + first + i) / 2, piece, count);
      }
    }
  }
}

static void body(void *ctx, size_t begin, size_t end) {
  const job *j = ctx;
  const size_t groups = bk_weight_groups(j->w);
  for (size_t row = begin; row < end; row++)
    for (size_t g = 0; g < groups; g++) group(j, row, g, groups);
}

static int run(bk_pool *pool, job j) {
  if (j.w->group == 0) return BK_EARGUMENT;
  if (j.w->rows == 0 || j.w->columns == 0) return BK_OK;
  atomic_bool odd = false;
  j.o = bk_ops();
  j.odd = &odd;
  const double row = 4.0 * (double)j.w->columns;
  bk_pool_run(bk_pool_for(pool, row * (double)j.w->rows), j.w->rows, bk_grain(pool, j.w->rows, row, 1e5), body, &j);
  return odd ? BK_ENUMBER : BK_OK;
}

int bk_quant_int(bk_pool *pool, const bk_weight *w, int bits, float *scales, float *offsets, int8_t *codes) {
  if (bits < 2 || bits > 8) return BK_EARGUMENT;
  const float high = (float)((1 << (bits - 1)) - 1);
  return run(pool, (job){.what = INT,
                         .w = w,
                         .scales = scales,
                         .offsets = offsets,
                         .codes = (uint8_t *)codes,
                         .low = -high - 1,
                         .high = high});
}

int bk_quant_int_with(bk_pool *pool, const bk_weight *w, int low, int high, const float *scales, const float *offsets,
                      int8_t *codes) {
  return run(pool, (job){.what = INT_WITH,
                         .w = w,
                         .scales = (float *)scales,
                         .offsets = (float *)offsets,
                         .codes = (uint8_t *)codes,
                         .low = (float)low,
                         .high = (float)high});
}

int bk_quant_e4m3(bk_pool *pool, const bk_weight *w, float *scales, uint8_t *codes) {
  return run(pool, (job){.what = E4M3, .w = w, .scales = scales, .codes = codes});
}

int bk_quant_fit(bk_pool *pool, const bk_weight *w, int low, int high, const float *scales, double *sums) {
  return run(pool, (job){.what = FIT,
                         .w = w,
                         .scales = (float *)scales,
                         .sums = sums,
                         .low = (float)low,
                         .high = (float)high});
}

int bk_quant_mx(bk_pool *pool, const bk_weight *w, bk_mx format, uint8_t *exponents, uint8_t *codes) {
  if (format.is_e2m1 && (w->columns % 2 != 0 || w->group % 2 != 0)) return BK_EARGUMENT;
  return run(pool, (job){.what = MX, .w = w, .format = format, .exponents = exponents, .codes = codes});
}

int bk_quant_mx_error(bk_pool *pool, const bk_weight *w, bk_mx format, double *sums) {
  return run(pool, (job){.what = MX_ERROR, .w = w, .format = format, .sums = sums});
}
