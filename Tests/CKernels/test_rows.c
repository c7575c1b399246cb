/// Tests of the row-wise and elementwise kernels.
#include "support.h"

void test_rows(void) {
  for (int n = 0; n < (quick ? 150 : 500); n++) {
    start_case(seed + 1);
    const size_t rows = random_below(n % 10 ? 6 : 300), N = 1 + random_below(n % 2 ? 40 : 500),
                 xs = N + random_below(3), ys = N + random_below(3);
    const float spread = n % 7 == 0 ? 60 : 3, eps = 1e-5f;
    guarded a = guarded_floats(rows * xs, -spread, spread), b = guarded_floats(rows * xs, -spread, spread);
    guarded gamma = guarded_floats(N, -2, 2), beta = guarded_floats(N, -2, 2);
    const float *ga = random_below(3) ? gamma.data : NULL, *be = random_below(3) ? beta.data : NULL;
    const bool with_sum = random_below(2), in_place = random_below(4) == 0;
    double *want = calloc(rows * N + 1, sizeof(double)), *sums = calloc(rows * N + 1, sizeof(double));
    for (int kind = 0; kind < 5; kind++) {
      static const char *const names[] = {"softmax", "layer_norm", "rms_norm", "add_layer_norm", "add_rms_norm"};
      const bool layer = kind == 1 || kind == 3, add = kind >= 3;
      for (size_t r = 0; r < rows; r++) {
        double total = 0, max = -INFINITY, squares = 0;
        for (size_t i = 0; i < N; i++) {
          const float x = floats(a)[r * xs + i], y = floats(b)[r * xs + i];
          double v = add ? (double)(x + y) : x;
          sums[r * N + i] = v;
          total += v;
          max = fmax(max, v);
        }
        double mean = layer ? total / (double)N : 0, z = 0;
        for (size_t i = 0; i < N; i++) {
          squares += pow(sums[r * N + i] - mean, 2);
          z += exp(sums[r * N + i] - max);
        }
        for (size_t i = 0; i < N; i++) {
          double v = sums[r * N + i];
          want[r * N + i] = kind == 0
                                ? exp(v - max) / z
                                : (v - mean) / sqrt(squares / (double)N + (double)eps) * (ga ? (double)ga[i] : 1.0) +
                                      (layer && be ? (double)be[i] : 0.0);
        }
      }
      guarded first = {0};
      for (int p = 0; p < 4; p++) {
        guarded x = guarded_new(rows * xs * 4), y = guarded_new(rows * ys * 4), sum = guarded_new(rows * N * 4);
        memcpy(x.data, a.data, a.bytes);
        float *out = in_place ? x.data : y.data, *s = with_sum ? sum.data : NULL;
        const size_t os = in_place ? xs : ys;
        switch (kind) {
          case 0: bk_softmax(pools[p], out, os, x.data, xs, rows, N); break;
          case 1: bk_layer_norm(pools[p], out, os, x.data, xs, ga, be, eps, rows, N); break;
          case 2: bk_rms_norm(pools[p], out, os, x.data, xs, ga, eps, rows, N); break;
          case 3: bk_add_layer_norm(pools[p], out, os, s, N, x.data, xs, b.data, xs, ga, be, eps, rows, N); break;
          default: bk_add_rms_norm(pools[p], out, os, s, N, x.data, xs, b.data, xs, ga, eps, rows, N); break;
        }
        guarded dense = guarded_new(rows * N * 4);
        for (size_t r = 0; r < rows; r++) memcpy(floats(dense) + r * N, out + r * os, N * 4);
        if (p == 0)
          check_close(names[kind], dense.data, want, rows * N, kind == 0 ? 1e-7 : N == 1 ? 2e-3 : 2e-5, 3e-6);
        else
          check_same(names[kind], dense.data, first.data, dense.bytes);
        if (add && with_sum) check_close(names[kind], sum.data, sums, rows * N, 0, 0);
        guarded_free(names[kind], x);
        guarded_free(names[kind], y);
        guarded_free(names[kind], sum);
        if (p == 0)
          first = dense;
        else
          guarded_free(names[kind], dense);
      }
      guarded_free(names[kind], first);
    }
    free(want);
    free(sums);
    guarded_free("rows", a);
    guarded_free("rows", b);
    guarded_free("rows", gamma);
    guarded_free("rows", beta);
  }
}

// --------------------------------------------------------------------------------------------------------- unary

static double f_relu(double x) { return x < 0 ? 0 : x; }
static double f_gelu_erf(double x) { return activation_value(BK_ACT_GELU_ERF, x); }
static double f_gelu_tanh(double x) { return activation_value(BK_ACT_GELU_TANH, x); }
static double f_silu(double x) { return activation_value(BK_ACT_SILU, x); }
static double f_sigmoid(double x) { return activation_value(BK_ACT_SIGMOID, x); }
static double f_neg(double x) { return -x; }
static double f_rsqrt(double x) { return 1 / sqrt(x); }
static double f_reciprocal(double x) { return 1 / x; }

static const struct {
  const char *name;
  double (*f)(double);
  float low, high;
  double absolute, relative;
} unaries[] = {
    {"relu", f_relu, -9, 9, 0, 0},
    {"gelu_erf", f_gelu_erf, -9, 9, 4e-7, 3e-7},
    {"gelu_tanh", f_gelu_tanh, -9, 9, 2e-7, 6e-7},
    {"silu", f_silu, -80, 80, 1e-30, 3e-7},
    {"sigmoid", f_sigmoid, -80, 80, 1e-37, 3e-7},
    {"tanh", tanh, -10, 10, 0, 2.4e-7},
    {"exp", exp, -103, 88.5f, 1.5e-45, 2.4e-7},
    {"erf", erf, -5, 5, 2e-7, 0},
    {"neg", f_neg, -9, 9, 0, 0},
    {"abs", fabs, -9, 9, 0, 0},
    {"sqrt", sqrt, 0, 1e9f, 0, 6e-8},
    {"rsqrt", f_rsqrt, 1e-6f, 1e6f, 0, 1.3e-7},
    {"reciprocal", f_reciprocal, 1e-3f, 1e3f, 0, 6e-8},
    {"log", log, 1e-6f, 1e6f, 1e-7, 2e-7},
    {"sin", sin, -1e6f, 1e6f, 0, 1.3e-7},
    {"cos", cos, -1e6f, 1e6f, 0, 1.3e-7},
};

static void test_unary(void) {
  for (int op = 0; op <= BK_UNARY_COS; op++) {
    for (int n = 0; n < 40; n++) {
      start_case(seed + 1);
      const size_t count = n == 39 ? 60000 : (size_t)n;
      guarded x = guarded_floats(count, unaries[op].low, unaries[op].high), first = {0};
      if (n == 38)
        for (size_t i = 0; i < count; i++) floats(x)[i] *= 0.02f;  // around zero
      double *want = malloc(sizeof(double) * (count + 1));
      for (size_t i = 0; i < count; i++) want[i] = unaries[op].f(floats(x)[i]);
      for (int p = 0; p < 4; p++) {
        guarded y = guarded_new(count * 4);
        if (p == 1) memcpy(y.data, x.data, x.bytes);
        int error = bk_unary(pools[p], op, y.data, p == 1 ? y.data : x.data, count);
        check(error == BK_OK, unaries[op].name, "returned %d", error);
        if (p == 0)
          check_close(unaries[op].name, y.data, want, count, unaries[op].absolute, unaries[op].relative);
        else
          check_same(unaries[op].name, y.data, first.data, y.bytes);
        if (p == 0)
          first = y;
        else
          guarded_free(unaries[op].name, y);
      }
      guarded_free(unaries[op].name, first);
      guarded_free(unaries[op].name, x);
      free(want);
    }
  }
  static const struct {
    bk_unary_op op;
    float x;
    double y;
  } special[] = {
      {BK_UNARY_EXP, INFINITY, (double)INFINITY},
      {BK_UNARY_EXP, -INFINITY, 0},
      {BK_UNARY_EXP, 0, 1},
      {BK_UNARY_EXP, -200, 0},
      {BK_UNARY_EXP, 100, (double)INFINITY},
      {BK_UNARY_EXP, NAN, (double)NAN},
      {BK_UNARY_TANH, NAN, (double)NAN},
      {BK_UNARY_ERF, NAN, (double)NAN},
      {BK_UNARY_TANH, INFINITY, 1},
      {BK_UNARY_TANH, -INFINITY, -1},
      {BK_UNARY_ERF, INFINITY, 1},
      {BK_UNARY_ERF, -INFINITY, -1},
      {BK_UNARY_SIGMOID, -INFINITY, 0},
      {BK_UNARY_SIGMOID, INFINITY, 1},
      {BK_UNARY_RELU, NAN, (double)NAN},
      {BK_UNARY_GELU_ERF, INFINITY, (double)INFINITY},
      {BK_UNARY_GELU_ERF, NAN, (double)NAN},
      {BK_UNARY_SILU, INFINITY, (double)INFINITY},
      {BK_UNARY_SQRT, -1, (double)NAN},
      {BK_UNARY_RECIPROCAL, 0, (double)INFINITY},
  };
  for (size_t i = 0; i < sizeof special / sizeof *special; i++) {
    float x[20], y[20];
    double want[20];
    for (int j = 0; j < 20; j++) {
      x[j] = special[i].x;
      want[j] = special[i].y;
    }
    bk_unary(NULL, special[i].op, y, x, 20);
    check_close(unaries[special[i].op].name, y, want, 20, 0, 0);
  }
  check(bk_unary(NULL, 99, NULL, NULL, 0) == BK_EARGUMENT, "unary", "op 99");
}

// -------------------------------------------------------------------------------------------------------- binary

static double binary_value(bk_binary_op op, float a, float b) {
  switch (op) {
    case BK_BINARY_ADD: return a + b;
    case BK_BINARY_SUB: return a - b;
    case BK_BINARY_MUL: return a * b;
    case BK_BINARY_DIV: return a / b;
    case BK_BINARY_MAX: return isnan(a) || isnan(b) ? (double)NAN : (double)fmaxf(a, b);
    case BK_BINARY_MIN: return isnan(a) || isnan(b) ? (double)NAN : (double)fminf(a, b);
    default: return powf(a, b);
  }
}

static void test_binary(void) {
  for (int n = 0; n < (quick ? 300 : 1500); n++) {
    start_case(seed + 1);
    const bk_binary_op op = random_below(7);
    const int rank = (int)random_below(9);
    size_t shape[8], count = 1, sizes[2] = {1, 1};
    ptrdiff_t strides[2][8], backwards[2] = {0, 0};
    for (int d = 0; d < rank; d++) {
      shape[d] = rank < 3 ? 1 + random_below(n % 9 ? 90 : 9000) : 1 + random_below(5);
      if (rank > 1 && rank < 3 && d == 0) shape[d] = 1 + random_below(9);
      if (random_below(80) == 0) shape[d] = 0;
      count *= shape[d];
    }
    const bool plain = random_below(3) == 0;
    for (int s = 0; s < 2; s++)
      for (int d = rank - 1; d >= 0; d--) {
        const bool broadcast = !plain && random_below(3) == 0;
        strides[s][d] = broadcast ? 0 : (ptrdiff_t)sizes[s];
        if (!broadcast) sizes[s] = sizes[s] * (shape[d] ? shape[d] : 1) + (!plain && random_below(8) == 0);
        if (!broadcast && !plain && shape[d] && random_below(10) == 0) {
          backwards[s] += strides[s][d] * ((ptrdiff_t)shape[d] - 1);
          strides[s][d] = -strides[s][d];
        }
      }
    guarded a = guarded_floats(sizes[0], op == BK_BINARY_POW ? 0.1f : -4, 4), b = guarded_floats(sizes[1], -4, 4);
    if (op == BK_BINARY_MAX || op == BK_BINARY_MIN)
      for (size_t i = 0; i < sizes[0] + sizes[1]; i += 7)
        *(i < sizes[0] ? floats(a) + i : floats(b) + i - sizes[0]) = NAN;
    const float *pa = floats(a) + backwards[0], *pb = floats(b) + backwards[1];
    double *want = malloc(sizeof(double) * (count + 1));
    for (size_t i = 0; i < count; i++) {
      size_t rest = i;
      ptrdiff_t at[2] = {0, 0};
      for (int d = rank - 1; d >= 0; d--) {
        for (int s = 0; s < 2; s++) at[s] += (ptrdiff_t)(rest % shape[d]) * strides[s][d];
        rest /= shape[d];
      }
      want[i] = binary_value(op, pa[at[0]], pb[at[1]]);
    }
    guarded out = guarded_new(count * 4);
    int error = bk_binary(pools[n % 4], op, out.data, rank, shape, pa, strides[0], pb, strides[1]);
    check(error == BK_OK, "binary", "returned %d", error);
    check_close("binary", out.data, want, count, 0, op == BK_BINARY_POW ? 2e-7 : 0);
    guarded_free("binary", out);
    guarded_free("binary", a);
    guarded_free("binary", b);
    free(want);
  }
}

static void test_swiglu(void) {
  for (int n = 0; n < 100; n++) {
    start_case(seed + 1);
    const size_t rows = random_below(20), N = random_below(n % 9 ? 50 : 3000);
    guarded x = guarded_floats(rows * 2 * N, -8, 8), out = guarded_new(rows * (N + 1) * 4);
    double *want = calloc(rows * (N + 1) + 1, sizeof(double));
    for (size_t r = 0; r < rows; r++)
      for (size_t i = 0; i < N; i++)
        want[r * (N + 1) + i] = f_silu(floats(x)[r * 2 * N + i]) * (double)floats(x)[r * 2 * N + N + i];
    bk_swiglu(pools[n % 4], out.data, N + 1, x.data, 2 * N, floats(x) + N, 2 * N, rows, N);
    check_close("swiglu", out.data, want, rows * (N + 1), 1e-9, 4e-7);
    guarded_free("swiglu", x);
    guarded_free("swiglu", out);
    free(want);
  }
}

static void test_rotary(void) {
  for (int n = 0; n < 200; n++) {
    start_case(seed + 1);
    const size_t B = 1 + random_below(3), H = 1 + random_below(4), S = 1 + random_below(20),
                 R = 2 * random_below(n % 2 ? 40 : 9), D = R + random_below(5);
    const bool interleaved = random_below(2), shared = random_below(2), in_place = random_below(2),
               heads_first = random_below(2);
    guarded x = guarded_floats(B * H * S * D, -3, 3), out = guarded_new(B * H * S * D * 4);
    guarded c = guarded_floats((shared ? 1 : B) * S * R, -1, 1), s = guarded_floats((shared ? 1 : B) * S * R, -1, 1);
    bk_rotary_args g = {.batch = B,
                        .heads = H,
                        .sequence = S,
                        .depth = D,
                        .rotated = R,
                        .cos = c.data,
                        .sin = s.data,
                        .table_batch = shared ? 0 : (ptrdiff_t)(S * R),
                        .table_sequence = (ptrdiff_t)R,
                        .interleaved = interleaved};
    g.x_strides = heads_first ? (bk_strides3){(ptrdiff_t)(H * S * D), (ptrdiff_t)(S * D), (ptrdiff_t)D}
                              : (bk_strides3){(ptrdiff_t)(H * S * D), (ptrdiff_t)D, (ptrdiff_t)(H * D)};
    g.out_strides = g.x_strides;
    double *want = malloc(sizeof(double) * (B * H * S * D + 1));
    for (size_t i = 0; i < B * H * S * D; i++) want[i] = floats(x)[i];
    for (size_t i = 0; i < B * H * S * (R / 2); i++) {
      const size_t pair = i % (R / 2), t = i / (R / 2) % S, h = i / (R / 2) / S % H, b = i / (R / 2) / S / H;
      const size_t p = interleaved ? 2 * pair : pair, q = interleaved ? p + 1 : pair + R / 2;
      const size_t base = (size_t)((ptrdiff_t)b * g.x_strides.batch + (ptrdiff_t)h * g.x_strides.head +
                                   (ptrdiff_t)t * g.x_strides.sequence);
      const size_t table = (size_t)((ptrdiff_t)b * g.table_batch + (ptrdiff_t)t * g.table_sequence);
      const double xp = floats(x)[base + p], xq = floats(x)[base + q];
      want[base + p] = xp * (double)floats(c)[table + p] - xq * (double)floats(s)[table + p];
      want[base + q] = xq * (double)floats(c)[table + q] + xp * (double)floats(s)[table + q];
    }
    g.x = x.data;
    g.out = in_place ? x.data : out.data;
    int error = bk_rotary(pools[n % 4], &g);
    check(error == BK_OK, "rotary", "returned %d", error);
    check_close("rotary", g.out, want, B * H * S * D, 1e-6, 0);
    guarded_free("rotary", x);
    guarded_free("rotary", out);
    guarded_free("rotary", c);
    guarded_free("rotary", s);
    free(want);
  }
  bk_rotary_args odd = {.rotated = 3, .depth = 8};
  check(bk_rotary(NULL, &odd) == BK_EARGUMENT, "rotary", "3 rotated dimensions");
}

void test_elementwise(void) {
  test_unary();
  test_binary();
  test_swiglu();
  test_rotary();
}
