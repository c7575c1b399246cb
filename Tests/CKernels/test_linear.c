/// Tests of packing, linear layers and batched matrix products.
#include "support.h"

static void test_pack(void) {
  for (int n = 0; n < (quick ? 60 : 200); n++) {
    start_case(seed + 1);
    const bk_dtype from = random_below(3), to = random_below(3);
    const bool transposed = random_below(2);
    const size_t N = 1 + random_below(70), K = n % 10 == 0 ? 200 + random_below(400) : random_below(70);
    const size_t stride = (transposed ? N : K) + random_below(5), panels = (N + 15) / 16;
    guarded w = guarded_elements(from, stride * (transposed ? K : N) + 1, -2, 2),
            p = guarded_new(bk_pack_size(to, N, K));
    memset(p.data, 0xff, p.bytes);
    bk_pack(pools[n % 4], to, p.data, from, w.data, stride, transposed, N, K);
    const size_t padded = to == BK_BF16 ? (K + 1) / 2 * 2 : K;
    bool ok = p.bytes == panels * 16 * padded * bk_dtype_size(to);
    for (size_t c = 0; c < panels * 16; c++)
      for (size_t k = 0; k < padded; k++) {
        double v = c < N && k < K ? element(from, w.data, transposed ? k * stride + c : c * stride + k) : 0;
        if (to == BK_BF16) v = bf16_to_float(float_to_bf16((float)v));
        if (to == BK_F16) v = f16_value(float_to_f16((float)v));
        const size_t at = to == BK_BF16 ? c / 16 * 16 * padded + k / 2 * 32 + c % 16 * 2 + k % 2
                                        : c / 16 * 16 * padded + k * 16 + c % 16;
        ok = ok && element(to, p.data, at) == v;
      }
    check(ok, "pack", "types %d to %d, [%zu, %zu], transposed %d", from, to, N, K, transposed);
    guarded_free("pack", w);
    guarded_free("pack", p);
  }
}

typedef struct {
  size_t M, N, K;
  bk_dtype type;
  bk_compute compute;
} linear_case;

static void run_linear(linear_case c) {
  const size_t M = c.M, N = c.N, K = c.K;
  const size_t xs = K + random_below(4), ws = K + random_below(4), ys = N + random_below(4);
  const bool with_bias = random_below(2), with_residual = random_below(2), in_place = with_residual && random_below(2);
  const bk_activation act = random_below(7);
  guarded x = guarded_floats(M * xs, -1, 1), w = guarded_elements(c.type, N * ws, -1, 1),
          bias = guarded_floats(N, -2, 2);
  guarded residual = guarded_floats(M * ys, -1, 1), packed = guarded_new(bk_pack_size(c.type, N, K));
  bk_pack(pools[2], c.type, packed.data, c.type, w.data, ws, false, N, K);
  double *want = malloc(sizeof(double) * (M * ys + 1));
  for (size_t i = 0; i < M * ys; i++) want[i] = in_place ? floats(residual)[i] : 0;
  double *wide = malloc(sizeof(double) * (N * K + 1));
  for (size_t n = 0; n < N; n++)
    for (size_t k = 0; k < K; k++) wide[n * K + k] = element(c.type, w.data, n * ws + k);
  for (size_t m = 0; m < M; m++)
    for (size_t n = 0; n < N; n++) {
      double sum = with_bias ? floats(bias)[n] : 0;
      for (size_t k = 0; k < K; k++) {
        float v = floats(x)[m * xs + k];
        sum += (double)(c.compute == BK_COMPUTE_BF16 ? bf16_to_float(float_to_bf16(v)) : v) * wide[n * K + k];
      }
      want[m * ys + n] = activation_value(act, sum) + (with_residual ? floats(residual)[m * ys + n] : 0);
    }
  guarded first = {0};
  for (int rows = 0; rows < 2; rows++) {
    for (int p = 0; p < 4; p++) {
      guarded y = guarded_new(M * ys * sizeof(float));
      if (in_place) memcpy(y.data, residual.data, y.bytes);
      bk_linear_args g = {.m = M,
                          .n = N,
                          .k = K,
                          .x = x.data,
                          .x_stride = xs,
                          .w = rows ? w.data : packed.data,
                          .w_stride = rows ? ws : 0,
                          .w_type = c.type,
                          .compute = c.compute,
                          .bias = with_bias ? bias.data : NULL,
                          .activation = act,
                          .residual = with_residual ? (in_place ? y.data : residual.data) : NULL,
                          .residual_stride = ys,
                          .y = y.data,
                          .y_stride = ys};
      int error = rows ? bk_linear_rows(pools[p], &g) : bk_linear(pools[p], &g);
      char what[160];
      snprintf(what, sizeof what, "linear%s [%zu, %zu, %zu] type %d compute %d %s", rows ? "_rows" : "", M, N, K,
               c.type, c.compute, activation_names[act]);
      check(error == BK_OK, what, "returned %d", error);
      if (p == 0)
        check_close(what, y.data, want, M * ys, 2e-6 * (1 + (double)K / 16), 2e-6);
      else
        check_same(what, y.data, first.data, y.bytes);
      if (p == 0)
        first = y;
      else
        guarded_free(what, y);
    }
    guarded_free("linear", first);
  }
  free(want);
  free(wide);
  guarded_free("linear", x);
  guarded_free("linear", w);
  guarded_free("linear", bias);
  guarded_free("linear", residual);
  guarded_free("linear", packed);
}

/// The sum for one output in PyTorch's order, step by step. Products of x and w are exact.
static float pytorch_sum(bk_compute compute, const float *x, const float *w, size_t k) {
  float sum = 0;
  if (compute == BK_COMPUTE_PYTORCH_BF16) {
    const size_t block = k > 1024 ? 1024 : 512;
    for (size_t start = 0; start < k; start += block) {
      float part = 0;
      for (size_t i = start; i < k && i < start + block; i++) {
        const size_t at = i ^ 1;
        part += at < k ? x[at] * w[at] : 0;
      }
      if (k % 2 == 1 && start + block >= k) part += x[k - 1] * w[k - 1];
      sum += part;
    }
    return sum;
  }
  float lanes[64] = {0}, rest[8] = {0};
  size_t i = 0;
  for (; i < k / 64 * 64; i++) lanes[i % 64] += x[i] * w[i];
  for (const size_t whole = i; i < whole + (k - whole) / 16 * 16; i++) rest[(i - whole) % 8] += x[i] * w[i];
  for (size_t half = 32; half > 0; half /= 2)
    for (size_t l = 0; l < half; l++) lanes[l] += lanes[l + half];
  for (size_t half = 4; half > 0; half /= 2)
    for (size_t l = 0; l < half; l++) rest[l] += rest[l + half];
  for (sum = lanes[0] + rest[0]; i < k; i++) sum += x[i] * w[i];
  return sum;
}

/// PyTorch's orders to the bit, on numbers of a type whose sums cancel.
static void test_pytorch(size_t M, size_t N, size_t K, bk_dtype type) {
  const bk_compute compute = type == BK_F16 ? BK_COMPUTE_PYTORCH_F16 : BK_COMPUTE_PYTORCH_BF16;
  const size_t xs = K + random_below(4), ws = K + random_below(4);
  guarded narrow = guarded_elements(type, M * xs, -1, 1), x = guarded_new(M * xs * sizeof(float));
  guarded w = guarded_elements(type, N * ws, -1, 1), wide = guarded_new(N * ws * sizeof(float));
  guarded bias = guarded_floats(N, -2, 2), want = guarded_new(M * N * sizeof(float));
  bk_convert(NULL, BK_F32, x.data, type, narrow.data, M * xs);
  bk_convert(NULL, BK_F32, wide.data, type, w.data, N * ws);
  for (size_t m = 0; m < M; m++)
    for (size_t n = 0; n < N; n++)
      floats(want)[m * N + n] = pytorch_sum(compute, floats(x) + m * xs, floats(wide) + n * ws, K) + floats(bias)[n];
  for (int p = 0; p < 4; p++) {
    guarded y = guarded_new(M * N * sizeof(float));
    bk_linear_args g = {.m = M, .n = N, .k = K, .x = x.data, .x_stride = xs, .w_stride = ws, .y = y.data};
    g.w = p % 2 ? wide.data : w.data;
    g.w_type = p % 2 ? BK_F32 : type;
    g.compute = compute;
    g.bias = bias.data;
    g.y_stride = N;
    check(bk_linear_rows(pools[p], &g) == BK_OK, "linear_rows", "an error for PyTorch's order");
    check_same("linear_rows in PyTorch's order", y.data, want.data, y.bytes);
    check(bk_linear(pools[p], &g) == BK_EARGUMENT, "linear", "PyTorch's order on panels");
    guarded_free("linear_rows", y);
  }
  guarded all[] = {narrow, x, w, wide, bias, want};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) guarded_free("linear_rows", all[i]);
}

/// MKL's order: weights of 16 bits give what the same ones in float32 do on panels.
static void test_pytorch_wide(size_t M, size_t N, size_t K, bk_dtype type) {
  guarded x = guarded_floats(M * K, -1, 1), w = guarded_elements(type, N * K, -1, 1), bias = guarded_floats(N, -2, 2);
  guarded packed = guarded_new(bk_pack_size(BK_F32, N, K)), y = guarded_new(M * N * sizeof(float)),
          want = guarded_new(M * N * sizeof(float));
  bk_pack(NULL, BK_F32, packed.data, type, w.data, K, false, N, K);
  bk_linear_args g = {.m = M, .n = N, .k = K, .x = x.data, .x_stride = K, .w = packed.data, .w_type = BK_F32};
  g.bias = bias.data;
  g.y = want.data;
  g.y_stride = N;
  g.compute = BK_COMPUTE_PYTORCH_F32;
  check(bk_linear(pools[2], &g) == BK_OK, "linear", "an error for MKL's order");
  g.w = w.data;
  g.w_stride = K;
  g.w_type = type;
  g.y = y.data;
  check(bk_linear_rows(pools[3], &g) == BK_OK, "linear_rows", "an error for MKL's order");
  check_same("linear_rows in MKL's order", y.data, want.data, y.bytes);
  guarded all[] = {x, w, bias, packed, y, want};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) guarded_free("linear_rows", all[i]);
}

void test_linear(void) {
  test_pack();
  for (int n = 0; n < (quick ? 40 : 150); n++) {
    start_case(seed + 1);
    const size_t M = 1 + random_below(n % 3 ? 12 : 60), N = 1 + random_below(n % 2 ? 20 : 80);
    const size_t K = random_below(n % 4 ? 200 : 2300);
    test_pytorch(M, N, K, n % 2 ? BK_F16 : BK_BF16);
    test_pytorch_wide(M, N, K, n % 2 ? BK_F16 : BK_BF16);
  }
  static const linear_case fixed[] = {
      {1, 1, 1, 0, 0},      {1, 384, 384, 0, 0},  {128, 96, 64, 0, 0}, {37, 300, 512, 0, 0},  {13, 33, 2500, 0, 0},
      {13, 33, 2501, 1, 0}, {13, 33, 4999, 1, 1}, {200, 40, 31, 1, 1}, {64, 257, 1024, 1, 1}, {3, 40, 0, 0, 0},
      {17, 40, 0, 1, 1},    {1, 700, 333, 1, 1},  {4, 700, 333, 2, 0}, {0, 5, 5, 0, 0},       {5, 0, 5, 0, 0},
      {33, 64, 96, 1, 1},   {400, 48, 20, 2, 0},
  };
  for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
    start_case(seed + 1);
    run_linear(fixed[i]);
  }
  for (int n = 0; n < (quick ? 60 : 250); n++) {
    start_case(seed + 1);
    linear_case c = {1 + random_below(n % 3 ? 12 : 80), 1 + random_below(n % 2 ? 40 : 200),
                     random_below(n % 4 ? 80 : 600), random_below(3), 0};
    if (c.type == BK_BF16) c.compute = random_below(2);
    run_linear(c);
  }
  bk_linear_args g = {.w_type = BK_F16, .compute = BK_COMPUTE_BF16};
  check(bk_linear(NULL, &g) == BK_EARGUMENT, "linear", "bf16 compute with f16 weights");
}

void test_matmul(void) {
  for (int n = 0; n < (quick ? 80 : 300); n++) {
    start_case(seed + 1);
    const size_t B = random_below(4), M = 1 + random_below(n % 3 ? 10 : 120), N = 1 + random_below(n % 2 ? 20 : 110),
                 K = random_below(n % 5 ? 70 : 1200);
    const bool a_transposed = random_below(3) == 0, b_transposed = random_below(2), b_shared = random_below(4) == 0;
    const size_t pad = random_below(4);
    bk_matrix a = {.row = a_transposed ? 1 : (ptrdiff_t)(K + pad), .column = a_transposed ? (ptrdiff_t)(M + pad) : 1};
    bk_matrix b = {.row = b_transposed ? 1 : (ptrdiff_t)(N + pad), .column = b_transposed ? (ptrdiff_t)(K + pad) : 1};
    a.batch = (ptrdiff_t)((M + pad) * (K + pad));
    b.batch = b_shared ? 0 : (ptrdiff_t)((N + pad) * (K + pad));
    guarded da = guarded_floats(B * (size_t)a.batch, -1, 1),
            db = guarded_floats((b_shared ? 1 : B) * (N + pad) * (K + pad), -1, 1);
    a.data = da.data;
    b.data = db.data;
    if (random_below(6) == 0 && K > 0) {  // backwards along k
      a.data += (ptrdiff_t)(K - 1) * a.column;
      a.column = -a.column;
    }
    if (random_below(6) == 0) {
      b.data += (ptrdiff_t)(N - 1) * b.column;
      b.column = -b.column;
    }
    double *want = calloc(B * M * (N + 1) + 1, sizeof(double));
    for (size_t i = 0; i < B * M * N; i++) {
      const ptrdiff_t batch = (ptrdiff_t)(i / N / M), r = (ptrdiff_t)(i / N % M), c = (ptrdiff_t)(i % N);
      for (ptrdiff_t k = 0; k < (ptrdiff_t)K; k++)
        want[(size_t)(batch * (ptrdiff_t)M + r) * (N + 1) + (size_t)c] +=
            (double)a.data[batch * a.batch + r * a.row + k * a.column] *
            (double)b.data[batch * b.batch + k * b.row + c * b.column];
    }
    guarded first = {0};
    for (int p = 0; p < 4; p++) {
      guarded c = guarded_new(B * M * (N + 1) * sizeof(float));
      int error = bk_matmul_f32(pools[p], B, M, N, K, a, b, c.data, (ptrdiff_t)(M * (N + 1)), (ptrdiff_t)N + 1);
      check(error == BK_OK, "matmul", "returned %d", error);
      if (p == 0)
        check_close("matmul", c.data, want, B * M * (N + 1), 2e-6 * (1 + (double)K / 16), 0);
      else
        check_same("matmul", c.data, first.data, c.bytes);
      if (p == 0)
        first = c;
      else
        guarded_free("matmul", c);
    }
    guarded_free("matmul", first);
    guarded_free("matmul", da);
    guarded_free("matmul", db);
    free(want);
  }
}
