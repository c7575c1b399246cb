/// Tests of weight quantization: the bytes of every instruction set are those of portable code, which the Swift tests
/// hold against msModelSlim's; whole numbers are checked against their plain definition.
#include "support.h"

/// Rounded to a type.
static float rounded(bk_dtype type, double x) {
  uint16_t half;
  switch (type) {
    case BK_F32: return (float)x;
    case BK_BF16: return bf16_to_float(float_to_bf16((float)x));
    default: half = float_to_f16((float)x); return (float)f16_value(half);
  }
}

/// A weight with what tests the edges: zeros, equal numbers, powers of two, small and large ones.
static guarded weights(bk_dtype type, size_t n) {
  guarded x = guarded_elements(type, n, -1, 1);
  size_t size = type == BK_F32 ? 4 : 2;
  for (size_t i = 0; i < n; i++)
    if (random_below(5) == 0) memset((char *)x.data + i * size, 0, size);
  if (n > 40 && random_below(3) == 0) memset(x.data, 0, 40 * size);
  return x;
}

/// Everything that the kernels make of a weight, one after the other.
static void make(const bk_weight *w, unsigned char *out, size_t cells, size_t groups) {
  float *scales = calloc(groups, 4), *offsets = calloc(groups, 4);
  double *sums = calloc(3 * groups, 8);
  for (int bits = 2; bits <= 8; bits += 2)
    for (int with = 0; with < 2; with++) {
      check(bk_quant_int(NULL, w, bits, scales, with ? offsets : NULL, (int8_t *)out) == BK_OK, "quant_int", "status");
      out += cells;
      memcpy(out, scales, 4 * groups), out += 4 * groups;
      memcpy(out, offsets, 4 * groups), out += 4 * groups;
      bk_quant_int_with(NULL, w, -3, 5, scales, with ? offsets : NULL, (int8_t *)out);
      out += cells;
      bk_quant_fit(NULL, w, -(1 << (bits - 1)), (1 << (bits - 1)) - 1, scales, sums);
      memcpy(out, sums, 24 * groups), out += 24 * groups;
    }
  bk_quant_e4m3(NULL, w, scales, out);
  out += cells;
  memcpy(out, scales, 4 * groups), out += 4 * groups;
  const bk_mx formats[] = {{false, BK_MX_FLOOR, 0},      {false, BK_MX_LEAST_ERROR, 0}, {true, BK_MX_FLOOR, 0},
                           {true, BK_MX_CEIL, 7.25f}, {true, BK_MX_NEAREST, 0}};
  for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
    if (formats[f].is_e2m1 && (w->columns % 2 != 0 || w->group % 2 != 0)) continue;
    bk_quant_mx(NULL, w, formats[f], out, out + groups);
    out += groups + cells;
    bk_quant_mx_error(NULL, w, formats[f], sums);
    memcpy(out, sums, 8 * groups), out += 8 * groups;
  }
  free(scales), free(offsets), free(sums);
}

static void check_plain(const bk_weight *w) {
  size_t groups = bk_weight_groups(w), cells = w->rows * w->columns;
  float *scales = calloc(w->rows * groups, 4);
  int8_t *codes = calloc(cells, 1);
  bk_quant_int(NULL, w, 8, scales, NULL, codes);
  bool ok = true;
  for (size_t row = 0; row < w->rows; row++)
    for (size_t g = 0; g < groups; g++) {
      size_t first = row * w->columns + g * w->group;
      size_t n = w->columns - g * w->group < w->group ? w->columns - g * w->group : w->group;
      double most = 0;
      for (size_t i = 0; i < n; i++) most = fmax(most, fabs(element(w->type, w->data, first + i)));
      float scale = rounded(w->type, (float)most / 127.0f), least = rounded(w->type, FLT_EPSILON);
      scale = scale > least ? scale : least;
      ok &= scales[row * groups + g] == scale;
      for (size_t i = 0; i < n; i++) {
        float q = rintf(rounded(w->type, (float)element(w->type, w->data, first + i) / scale));
        ok &= codes[first + i] == (int)fminf(fmaxf(q, -128), 127);
      }
    }
  check(ok, "quant_int", "type %d, %zu rows of %zu in groups of %zu", w->type, w->rows, w->columns, w->group);
  free(scales), free(codes);
}

/// Rounding that spreads its errors, and the same written plainly.
static void check_spreading(void) {
  const size_t rows = 1 + random_below(40), all = 1 + random_below(70), first = random_below(all);
  const size_t columns = 1 + random_below(all - first), group = 1 + random_below(40);
  const size_t groups = (all + group - 1) / group;
  const bool with = random_below(2);
  guarded w = guarded_elements(BK_F32, rows * all, -1, 1), factor = guarded_elements(BK_F32, columns * columns, -1, 1);
  guarded scales = guarded_elements(BK_F32, rows * groups, 0.1f, 0.3f), errors = guarded_new(4 * rows * columns);
  guarded offsets = guarded_elements(BK_F32, rows * groups, -2, 2), codes = guarded_new(rows * all);
  float *f = (float *)factor.data, *wide = (float *)w.data, *e = (float *)errors.data;
  for (size_t c = 0; c < columns; c++) f[c * columns + c] = 1.5f;
  bk_rounding g = {.rows = rows, .columns = columns, .w = wide + first, .w_stride = all, .factor = f,
                   .factor_stride = columns, .scales = (float *)scales.data,
                   .offsets = with ? (float *)offsets.data : NULL, .scale_stride = groups, .first = first,
                   .group = group, .low = -8, .high = 7, .codes = (int8_t *)codes.data + first, .codes_stride = all,
                   .errors = e};
  float *rest = malloc(4 * rows * all);
  memcpy(rest, wide, 4 * rows * all);
  memset(codes.data, 0, rows * all);
  check(bk_quant_spreading(NULL, &g) == BK_OK, "quant_spreading", "status");
  bool ok = true;
  for (size_t r = 0; r < rows; r++) {
    volatile float *line = rest + r * all + first;
    for (size_t c = 0; c < columns; c++) {
      const size_t at = r * groups + (first + c) / group;
      const float scale = g.scales[at], offset = with ? g.offsets[at] : 0;
      volatile float place = line[c] / scale;
      place = place + offset;
      const float code = rintf(fminf(fmaxf(place, -8), 7));
      volatile float rounded = (code - offset) * scale;
      volatile float error = (line[c] - rounded) / f[c * columns + c];
      ok &= g.codes[r * all + c] == (int8_t)code && e[r * columns + c] == error;
      for (size_t o = c; o < columns; o++) {
        volatile float change = error * f[c * columns + o];
        line[o] = line[o] - change;
      }
    }
  }
  ok &= memcmp(rest, wide, 4 * rows * all) == 0;
  check(ok, "quant_spreading", "%zu rows of %zu columns from %zu in groups of %zu", rows, columns, first, group);
  f[0] = 0;
  wide[first] = 1;
  check(bk_quant_spreading(NULL, &g) == BK_ENUMBER, "quant_spreading", "an endless error is good");
  free(rest);
  guarded_free("quant_spreading", w), guarded_free("quant_spreading", factor), guarded_free("quant_spreading", scales);
  guarded_free("quant_spreading", errors), guarded_free("quant_spreading", offsets);
  guarded_free("quant_spreading", codes);
}

void test_quantize(void) {
  for (int round = 0; round < (quick ? 20 : 300); round++) check_spreading();
  const char *isa = bk_isa();
  for (int type = BK_F32; type <= BK_F16; type++) {
    for (int round = 0; round < (quick ? 6 : 60); round++) {
      bk_weight w = {.type = type, .rows = 1 + random_below(5), .columns = 1 + random_below(300)};
      if (round % 2 == 0) w.columns = 32 * (1 + random_below(8));
      w.group = round % 3 == 0 ? w.columns : 32;
      size_t cells = w.rows * w.columns, groups = w.rows * bk_weight_groups(&w);
      guarded x = weights(type, cells);
      w.data = x.data;
      size_t size = 8 * (2 * cells + 32 * groups) + cells + 4 * groups + 5 * (cells + 9 * groups);
      guarded a = guarded_new(size), b = guarded_new(size);
      make(&w, a.data, cells, groups);
      bk_set_isa("portable");
      make(&w, b.data, cells, groups);
      bk_set_isa(isa);
      check_same("quantize", a.data, b.data, size);
      check_plain(&w);
      guarded_free("quantize", a);
      guarded_free("quantize", b);
      // A number that is none is said, wherever it is.
      uint16_t odd = type == BK_F16 ? 0x7c00 : 0x7f80;
      uint32_t wide = 0x7fc00000;
      size_t at = random_below(cells);
      memcpy((char *)x.data + at * (type == BK_F32 ? 4 : 2), type == BK_F32 ? (void *)&wide : &odd,
             type == BK_F32 ? 4 : 2);
      float *scales = calloc(groups, 4);
      int8_t *codes = calloc(cells, 1);
      check(bk_quant_int(NULL, &w, 8, scales, NULL, codes) == BK_ENUMBER, "quant_int", "a bad weight is good");
      check(bk_quant_e4m3(NULL, &w, scales, (uint8_t *)codes) == BK_ENUMBER, "quant_e4m3", "a bad weight is good");
      free(scales), free(codes);
      guarded_free("quantize", x);
    }
  }
}
