/// Tests of inputs quantized when a model runs, and of products with quantized weights.
#include "support.h"

/// The value of a float8 e4m3fn code.
static double e4m3_value(uint8_t code) {
  const int exponent = code >> 3 & 15, fraction = code & 7;
  if ((code & 127) == 127) return NAN;
  const double v = exponent ? ldexp(8 + fraction, exponent - 10) : ldexp(fraction, -9);
  return code & 128 ? -v : v;
}
static double e2m1_value(uint8_t code) {
  static const double values[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  return code & 8 ? -values[code & 7] : values[code & 7];
}

static int int4_of(const uint8_t *pairs, size_t k, size_t row, size_t column) {
  const uint8_t both = pairs[row / 2 * k + column];
  return ((row % 2 ? both >> 4 : both & 15) ^ 8) - 8;
}

static guarded random_bytes(size_t n) {
  guarded g = guarded_new(n);
  for (size_t i = 0; i < n; i++) ((uint8_t *)g.data)[i] = (uint8_t)random_bits();
  return g;
}

/// A whole number between low and high, by the rule of the row.
static int whole(float q, float low, float high) { return (int)rintf(fminf(fmaxf(q, low), high)); }

static void test_rows_of_codes(void) {
  for (int n = 0; n < (quick ? 100 : 600); n++) {
    start_case(seed + 1);
    const size_t rows = random_below(n % 10 ? 5 : 200), k = 1 + random_below(n % 2 ? 40 : 300);
    const size_t xs = k + random_below(3);
    guarded x = guarded_floats(rows * xs, -3, 3);
    for (size_t r = 0; r < rows; r++) {
      const size_t odd = random_below(12);
      float *row = floats(x) + r * xs;
      if (odd == 0) memset(row, 0, k * sizeof(float));
      if (odd == 1) row[random_below(k)] = random_below(2) ? NAN : INFINITY;
      if (odd == 2) row[random_below(k)] = 0x1p-140f;
    }
    const bool divides = random_below(2), half = random_below(4) == 0;
    const float limit = random_below(2) ? 127 : 7, scale = random_float(10, 60), offset = floorf(random_float(-40, 40));
    for (int what = BK_STATIC_INT8; what <= BK_DYNAMIC_E4M3; what++) {
      guarded first = {0};
      for (int p = 0; p < 4; p++) {
        guarded codes = guarded_new(rows * k), scales = guarded_new(rows * sizeof(float));
        const bk_quant_rows q = {.what = (bk_row_codes)what, .rows = rows, .k = k, .x = x.data, .x_stride = xs,
                                 .limit = what == BK_DYNAMIC_E4M3 ? 448 : limit, .divides = divides, .scale = scale,
                                 .offset = offset, .half = half, .codes = codes.data, .scales = scales.data};
        check(bk_quantize_rows(pools[p], &q) == BK_OK, "quantize_rows", "refused");
        for (size_t r = 0; r < rows && p == 0; r++) {
          const float *row = floats(x) + r * xs;
          float most = 0;
          bool odd = false;
          for (size_t i = 0; i < k; i++) {
            most = fmaxf(most, fabsf(row[i]));
            odd |= !isfinite(row[i]);
          }
          const float own = most * (1 / q.limit);
          if (what != BK_STATIC_INT8)
            check(odd ? isnan(floats(scales)[r]) : floats(scales)[r] == own, "row scale", "%g", (double)own);
          for (size_t i = 0; i < k; i++) {
            const int8_t got = ((int8_t *)codes.data)[r * k + i];
            if (what == BK_STATIC_INT8) {
              float product = row[i] * scale;
              if (half) product = (float)f16_value(float_to_f16(product));
              float sum = product + offset;
              if (half) sum = (float)f16_value(float_to_f16(sum));
              const int want = isnan(row[i]) ? 0 : whole(sum, -128, 127);
              check(got == want, "static code", "%d instead of %d of %g", got, want, (double)row[i]);
            } else if (odd || most == 0) {
              check(got == 0, "code of an odd row", "%d", got);
            } else if (what == BK_DYNAMIC_INT8) {
              const float factor = limit / most, quotient = divides ? row[i] / own : row[i] * factor;
              const int want = isfinite(factor) ? whole(quotient, -limit, limit) : 0;
              check(got == want, "code", "%d instead of %d", got, want);
            } else {
              // No neighbour is nearer.
              const double v = e4m3_value((uint8_t)got), y = fmin(fmax((double)(row[i] / own), -448), 448);
              const double step = fmax(ldexp(1, ilogb(fmax(fabs(y), 0x1p-6)) - 3), 0x1p-9);
              check(fabs(v - y) <= step / 2, "float8 code", "%g instead of %g", v, y);
            }
          }
        }
        if (p == 0) first = codes;
        else {
          check_same("quantize_rows", codes.data, first.data, rows * k);
          guarded_free("quantize_rows", codes);
        }
        guarded_free("row scales", scales);
      }
      guarded_free("quantize_rows", first);
    }
    for (int e2m1 = 0; e2m1 < 2; e2m1++) {
      if (e2m1 && k % 2) continue;
      const size_t blocks = (k + 31) / 32;
      guarded codes = guarded_new(rows * k / (e2m1 ? 2 : 1)), exponents = guarded_new(rows * blocks);
      guarded y = guarded_new(rows * k * sizeof(float));
      const bk_quant_rows q = {.what = e2m1 ? BK_DYNAMIC_MX_E2M1 : BK_DYNAMIC_MX_E4M3, .rows = rows, .k = k,
                               .x = x.data, .x_stride = xs, .codes = codes.data, .exponents = exponents.data};
      check(bk_quantize_rows(pools[n % 4], &q) == BK_OK, "microscaling", "refused");
      const bk_codes c = {.type = e2m1 ? BK_CODES_E2M1 : BK_CODES_E4M3, .rows = rows, .columns = k,
                          .data = codes.data, .exponents = exponents.data};
      bk_widen_codes(pools[n % 4], &c, y.data);
      for (size_t r = 0; r < rows; r++)
        for (size_t b = 0; b < blocks; b++) {
          const size_t end = b * 32 + 32 < k ? b * 32 + 32 : k;
          float most = 0;
          bool odd = false;
          for (size_t i = b * 32; i < end; i++) {
            most = fmaxf(most, fabsf(floats(x)[r * xs + i]));
            odd |= !isfinite(floats(x)[r * xs + i]);
          }
          const int want = odd ? 255 : most == 0 ? 0 : (int)fmax(ilogbf(most) - (e2m1 ? 2 : 8), -127) + 127;
          check(((uint8_t *)exponents.data)[r * blocks + b] == want, "block exponent", "instead of %d", want);
          for (size_t i = b * 32; i < end; i++) {
            const float v = floats(x)[r * xs + i], got = floats(y)[r * k + i];
            const double unit = ldexp(1, want - 127), top = (e2m1 ? 6 : 448) * unit;
            const double close = fmin(fabs((double)v), top);
            const double step = e2m1 ? close < 2 * unit ? 0.5 * unit : close < 4 * unit ? unit : 2 * unit
                                     : fmax(ldexp(1, ilogb(fmax(close, 0x1p-149)) - 3), unit * 0x1p-9);
            check(odd ? isnan(got) : fabs(fabs((double)got) - close) <= step / 2, "block code", "%g of %g",
                  (double)got, (double)v);
          }
        }
      guarded_free("microscaling", codes);
      guarded_free("microscaling", exponents);
      guarded_free("microscaling", y);
    }
    guarded_free("x", x);
  }
}

static void test_products(void) {
  for (int n = 0; n < (quick ? 80 : 500); n++) {
    start_case(seed + 1);
    const bool small = n % 5 != 0;
    const size_t m = random_below(small ? 10 : 150), N = 2 * random_below(small ? 20 : 70),
                 groups = random_below(3) ? 1 : 1 + random_below(4), k = groups * (1 + random_below(small ? 70 : 300)),
                 ys = N + random_below(3);
    const bool pairs = random_below(2), whole_bias = groups == 1 && random_below(2);
    guarded x = random_bytes(m * k), w = random_bytes(pairs ? N / 2 * k : N * k);
    guarded scales = guarded_floats(N * groups, 0.01f, 0.1f), tokens = guarded_floats(m, 0.01f, 0.1f);
    guarded bias = guarded_floats(N, -2, 2), wide = guarded_floats(m * k, -2, 2);
    guarded offsets = guarded_floats(N * groups, -9, 9);
    int32_t *own = calloc(N + 1, sizeof(int32_t));
    for (size_t i = 0; i < N; i++) own[i] = (int32_t)random_below(100000) - 50000;
    bk_quant_linear g = {.m = m, .x = x.data, .y_stride = ys, .whole_bias = whole_bias ? own : NULL,
                         .tokens = random_below(3) ? tokens.data : NULL, .bias = random_below(2) ? bias.data : NULL,
                         .w = {.type = pairs ? BK_CODES_INT4_PAIRS : BK_CODES_INT8, .rows = N, .columns = k,
                               .data = w.data, .groups = groups, .scales = scales.data}};
    float *want = calloc(m * N + 1, sizeof(float));
    double *close = calloc(m * N + 1, sizeof(double));
    for (size_t r = 0; r < m; r++)
      for (size_t c = 0; c < N; c++) {
        float total = 0;
        double sum = 0;
        for (size_t q = 0; q < groups; q++) {
          int64_t part = whole_bias ? own[c] : 0;
          for (size_t i = q * k / groups; i < (q + 1) * k / groups; i++) {
            const int code = pairs ? int4_of(w.data, k, c, i) : ((int8_t *)w.data)[c * k + i];
            part += ((int8_t *)x.data)[r * k + i] * code;
            const float wider = ((float)code + floats(offsets)[c * groups + q]) * floats(scales)[c * groups + q];
            sum += (double)floats(wide)[r * k + i] * (double)wider;
          }
          volatile float scaled = (float)part * floats(scales)[c * groups + q];
          total = q ? total + scaled : scaled;
        }
        volatile float y = total * (g.tokens ? floats(tokens)[r] : 1);
        want[r * N + c] = g.bias ? y + floats(bias)[c] : y;
        close[r * N + c] = sum + (g.bias ? (double)floats(bias)[c] : 0);
      }
    for (int p = 0; p < 4; p++) {
      guarded y = guarded_new(m * ys * sizeof(float));
      g.y = y.data;
      check(bk_linear_quantized(pools[p], &g) == BK_OK, "linear_quantized", "refused");
      bool same = true;
      for (size_t r = 0; r < m; r++) same &= memcmp(floats(y) + r * ys, want + r * N, N * sizeof(float)) == 0;
      check(same, "linear_quantized", "m %zu n %zu k %zu groups %zu pairs %d", m, N, k, groups, pairs);
      guarded_free("linear_quantized", y);
    }
    bk_quant_linear wider = g;
    wider.x = NULL;
    wider.whole_bias = NULL;
    wider.tokens = NULL;
    wider.wide_x = wide.data;
    wider.x_stride = k;
    wider.w.offsets = offsets.data;
    for (int p = 0; p < 4; p += 3) {
      guarded y = guarded_new(m * ys * sizeof(float)), dense = guarded_new(m * N * sizeof(float));
      wider.y = y.data;
      check(bk_linear_quantized(pools[p], &wider) == BK_OK, "widened", "refused");
      for (size_t r = 0; r < m; r++) memcpy(floats(dense) + r * N, floats(y) + r * ys, N * sizeof(float));
      check_close("widened", dense.data, close, m * N, 2e-5 * sqrt((double)k + 1) * 30, 2e-5);
      guarded_free("widened", y);
      guarded_free("widened", dense);
    }
    free(want);
    free(close);
    free(own);
    guarded_free("x", x);
    guarded_free("w", w);
    guarded_free("scales", scales);
    guarded_free("tokens", tokens);
    guarded_free("bias", bias);
    guarded_free("wide", wide);
    guarded_free("offsets", offsets);
  }
}

/// Every code of the small floats.
static void test_code_values(void) {
  uint8_t codes[256];
  float y[512];
  for (int i = 0; i < 256; i++) codes[i] = (uint8_t)i;
  const bk_codes wide = {.type = BK_CODES_E4M3, .rows = 1, .columns = 256, .data = codes};
  bk_widen_codes(NULL, &wide, y);
  for (int i = 0; i < 256; i++) {
    const double want = e4m3_value((uint8_t)i);
    check(isnan(want) ? isnan(y[i]) : (double)y[i] == want, "float8 value", "%d is %g", i, (double)y[i]);
  }
  const bk_codes four = {.type = BK_CODES_E2M1, .rows = 1, .columns = 512, .data = codes};
  bk_widen_codes(NULL, &four, y);
  for (int i = 0; i < 512; i++) {
    const double want = e2m1_value(i % 2 ? codes[i / 2] >> 4 : codes[i / 2] & 15);
    check((double)y[i] == want, "float4 value", "%d is %g", i, (double)y[i]);
  }
  // Rows of an odd number of codes begin in the middle of a byte.
  const float scales[2] = {1, 2}, offsets[2] = {0, 3};
  const bk_codes halves = {.type = BK_CODES_INT4, .rows = 2, .columns = 255, .data = codes, .groups = 1,
                           .scales = scales, .offsets = offsets};
  bk_widen_codes(NULL, &halves, y);
  for (int i = 0; i < 510; i++) {
    const int code = ((i % 2 ? codes[i / 2] >> 4 : codes[i / 2] & 15) ^ 8) - 8;
    const float want = i < 255 ? (float)code : ((float)code + 3) * 2;
    check(y[i] == want, "int4 value", "%d is %g", i, (double)y[i]);
  }
}

void test_quantized(void) {
  test_code_values();
  test_rows_of_codes();
  test_products();
}
