/// Times the kernels, the best of many runs, beside the machine's multiply-add peak and read bandwidth measured in the
/// same run. Arguments: [threads=N] [isa=NAME] [shape=M,N,K] [group ...] with groups linear, gemv, attention, rest; all
/// by default.
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "CKernels.h"

static bk_pool *pool;
static int threads;
static double peak, bandwidth;  // operations and bytes per second

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/// Seconds of the fastest run of STATEMENT within about `budget` seconds (at least 5 runs).
#define FASTEST(budget, STATEMENT)                                  \
  ({                                                                \
    double fastest = 1e9, start = now();                            \
    for (int run = 0; run < 5 || now() - start < (budget); run++) { \
      double t0 = now();                                            \
      STATEMENT;                                                    \
      double t = now() - t0;                                        \
      if (t < fastest) fastest = t;                                 \
    }                                                               \
    fastest;                                                        \
  })

static float *random_floats(size_t n) {
  float *p = aligned_alloc(64, (n * 4 + 63) / 64 * 64);
  unsigned s = 1;
  for (size_t i = 0; i < n; i++) p[i] = (float)((s = s * 1664525u + 1013904223u) >> 8) * 0x1p-23f - 1;
  return p;
}

static void measure_limits(size_t bytes) {
  double best = 0;
  for (int i = 0; i < 40; i++) {
    double t0 = now(), operations = bk_probe_fma(pool, 400000);
    double rate = operations / (now() - t0);
    if (rate > best) best = rate;
  }
  peak = best;
  char *data = aligned_alloc(2 << 20, bytes);
  madvise(data, bytes, MADV_HUGEPAGE);  // as the runtime does for weights
  memset(data, 0, bytes);
  const bk_region region = {data, bytes};
  bandwidth = (double)bytes / FASTEST(1.0, bk_probe_read(pool, 1, &region));
  free(data);
  printf("%s, %d threads: f32 multiply-add peak %.0f GFLOP/s, read bandwidth %.1f GB/s (%zu MB)\n", bk_isa(), threads,
         peak / 1e9, bandwidth / 1e9, bytes >> 20);
}

static void linear(size_t M, size_t N, size_t K, bk_dtype type, bk_compute compute, bool rows) {
  float *x = random_floats(M * K), *w = random_floats(N * K), *y = random_floats(M * N), *bias = random_floats(N);
  void *packed = aligned_alloc(64, (bk_pack_size(type, N, K) + 63) / 64 * 64);
  if (rows)
    bk_convert(pool, type, packed, BK_F32, w, N * K);
  else
    bk_pack(pool, type, packed, BK_F32, w, K, false, N, K);
  bk_linear_args g = {.m = M,
                      .n = N,
                      .k = K,
                      .x = x,
                      .x_stride = K,
                      .w = packed,
                      .w_stride = K,
                      .w_type = type,
                      .compute = compute,
                      .bias = bias,
                      .y = y,
                      .y_stride = N};
  double t = FASTEST(0.4, rows ? bk_linear_rows(pool, &g) : bk_linear(pool, &g));
  static const char *const types[] = {"f32", "bf16", "f16"};
  printf("linear%s M=%zu N=%zu K=%zu weights %s compute %s: %.1f us, %.0f GFLOP/s, %.0f %% of f32 peak\n",
         rows ? "_rows" : "", M, N, K, types[type], compute ? "bf16" : "f32", t * 1e6, 2e-9 * (double)(M * N * K) / t,
         2e2 * (double)(M * N * K) / t / peak);
  free(x);
  free(w);
  free(y);
  free(bias);
  free(packed);
}

/// Products with one row, going through enough different weights that they come from memory.
static void gemv(size_t N, size_t K, bk_dtype type, bk_compute compute, bool rows, size_t total) {
  size_t bytes = (bk_pack_size(type, N, K) + 63) / 64 * 64, copies = total / bytes + 1;
  char *w = aligned_alloc(4096, (copies * bytes + 4095) / 4096 * 4096);
  memset(w, 0, copies * bytes);
  float *x = random_floats(K), *y = random_floats(N);
  bk_linear_args g = {.m = 1,
                      .n = N,
                      .k = K,
                      .x = x,
                      .x_stride = K,
                      .w_stride = K,
                      .w_type = type,
                      .compute = compute,
                      .y = y,
                      .y_stride = N};
  double t = FASTEST(
      0.6, for (size_t c = 0; c < copies; c++) {
        g.w = w + c * bytes;
        rows ? bk_linear_rows(pool, &g) : bk_linear(pool, &g);
      });
  static const char *const types[] = {"f32", "bf16", "f16"};
  double rate = (double)(copies * bytes) / t;
  printf("gemv%s N=%zu K=%zu weights %s compute %s: %.0f us, %.1f GB/s, %.0f %% of read bandwidth\n",
         rows ? "_rows" : "", N, K, types[type], compute ? "bf16" : "f32", t / (double)copies * 1e6, rate / 1e9,
         100 * rate / bandwidth);
  free(w);
  free(x);
  free(y);
}

static void attention(size_t B, size_t Hq, size_t Hkv, size_t S, size_t T, size_t D, bool causal) {
  float *q = random_floats(B * Hq * S * D), *k = random_floats(B * Hkv * T * D), *v = random_floats(B * Hkv * T * D),
        *o = random_floats(B * Hq * S * D);
  bk_attention_args g = {.batch = B,
                         .q_heads = Hq,
                         .kv_heads = Hkv,
                         .queries = S,
                         .keys = T,
                         .depth = D,
                         .v_depth = D,
                         .q = q,
                         .k = k,
                         .v = v,
                         .out = o,
                         .scale = 0.1f,
                         .causal = causal};
  g.q_strides = g.out_strides = (bk_strides3){(ptrdiff_t)(Hq * S * D), (ptrdiff_t)(S * D), (ptrdiff_t)D};
  g.k_strides = g.v_strides = (bk_strides3){(ptrdiff_t)(Hkv * T * D), (ptrdiff_t)(T * D), (ptrdiff_t)D};
  double t = FASTEST(0.6, bk_attention(pool, &g)),
         operations = 4.0 * (double)(B * Hq * S * D) * (double)T * (causal && S == T ? 0.5 : 1);
  printf(
      "attention B=%zu H=%zu/%zu S=%zu T=%zu D=%zu%s: %.1f us, %.0f GFLOP/s (%.0f %% of peak), cache read at %.1f GB/s "
      "(%.0f %%)\n",
      B, Hq, Hkv, S, T, D, causal ? " causal" : "", t * 1e6, operations / t / 1e9, 100 * operations / t / peak,
      8e-9 * (double)(B * Hkv * T * D) / t, 800 * (double)(B * Hkv * T * D) / t / bandwidth);
  free(q);
  free(k);
  free(v);
  free(o);
}

static void rate(const char *name, double bytes, double t) {
  printf("%-24s %8.1f us  %6.1f GB/s\n", name, t * 1e6, bytes / t / 1e9);
}

static void rest(void) {
  const size_t n = 1 << 22;
  float *x = random_floats(n), *y = random_floats(n), *z = random_floats(n);
  const double b = (double)n;
  rate("f32 to bf16", 6 * b, FASTEST(0.2, bk_convert(pool, BK_BF16, y, BK_F32, x, n)));
  rate("bf16 to f32", 6 * b, FASTEST(0.2, bk_convert(pool, BK_F32, y, BK_BF16, x, n)));
  rate("f32 to f16", 6 * b, FASTEST(0.2, bk_convert(pool, BK_F16, y, BK_F32, x, n)));
  rate("f16 to f32", 6 * b, FASTEST(0.2, bk_convert(pool, BK_F32, y, BK_F16, x, n)));
  rate("pack f32 to f32", 8 * b, FASTEST(0.2, bk_pack(pool, BK_F32, y, BK_F32, x, 2048, false, 2048, 2048)));
  rate("pack f32 to bf16", 6 * b, FASTEST(0.2, bk_pack(pool, BK_BF16, y, BK_F32, x, 2048, false, 2048, 2048)));
  rate("softmax 10922 x 384", 8 * 384 * 10922, FASTEST(0.2, bk_softmax(pool, y, 384, x, 384, 10922, 384)));
  rate("layer_norm 128 x 384", 8 * 384 * 128, FASTEST(0.2, bk_layer_norm(pool, y, 384, x, 384, z, z, 1e-5f, 128, 384)));
  rate("rms_norm 1024 x 4096", 8 * b, FASTEST(0.2, bk_rms_norm(pool, y, 4096, x, 4096, z, 1e-5f, 1024, 4096)));
  static const char *const names[] = {"relu", "gelu_erf", "gelu_tanh", "silu",  "sigmoid",    "tanh", "exp", "erf",
                                      "neg",  "abs",      "sqrt",      "rsqrt", "reciprocal", "log",  "sin", "cos"};
  for (int op = 0; op <= BK_UNARY_COS; op++) rate(names[op], 8 * b, FASTEST(0.1, bk_unary(pool, op, y, x, n)));
  const size_t shape[2] = {2048, 2048};
  const ptrdiff_t plain[2] = {2048, 1}, row[2] = {0, 1}, swapped[2] = {1, 2048};
  rate("add", 12 * b, FASTEST(0.2, bk_binary(pool, BK_BINARY_ADD, y, 2, shape, x, plain, z, plain)));
  rate("add a row", 8 * b, FASTEST(0.2, bk_binary(pool, BK_BINARY_ADD, y, 2, shape, x, plain, z, row)));
  rate("add a transpose", 12 * b, FASTEST(0.2, bk_binary(pool, BK_BINARY_ADD, y, 2, shape, x, plain, z, swapped)));
  rate("swiglu 1024 x 2048", 6 * b, FASTEST(0.2, bk_swiglu(pool, y, 2048, x, 4096, x + 2048, 4096, 1024, 2048)));
  for (int size = 1; size <= 8; size *= 2) {
    char name[40];
    const size_t half[2] = {2048, size == 8 ? 1024 : 2048};
    const ptrdiff_t ds[2] = {(ptrdiff_t)half[1], 1}, ss[2] = {1, 2048};
    snprintf(name, sizeof name, "transpose, %d bytes", size);
    rate(name, 2.0 * size * (double)(half[0] * half[1]), FASTEST(0.2, bk_copy(pool, size, 2, half, y, ds, x, ss)));
  }
  rate("copy", 8 * b, FASTEST(0.2, bk_copy(pool, 4, 2, shape, y, plain, x, plain)));
  free(x);
  free(y);
  free(z);
}

int main(int count, char **arguments) {
  threads = (int)sysconf(_SC_NPROCESSORS_ONLN);
  bool all = true, chosen[4] = {0};
  size_t shape[3] = {0};
  static const char *const groups[] = {"linear", "gemv", "attention", "rest"};
  for (int i = 1; i < count; i++) {
    if (strncmp(arguments[i], "threads=", 8) == 0) threads = atoi(arguments[i] + 8);
    if (strncmp(arguments[i], "isa=", 4) == 0 && bk_set_isa(arguments[i] + 4) != BK_OK) return 2;
    if (sscanf(arguments[i], "shape=%zu,%zu,%zu", &shape[0], &shape[1], &shape[2]) == 3) all = false;
    for (int g = 0; g < 4; g++)
      if (strcmp(arguments[i], groups[g]) == 0) chosen[g] = !(all = false);
  }
  pool = bk_pool_create(threads);
  measure_limits((size_t)1 << 30);
  if (shape[0]) {
    linear(shape[0], shape[1], shape[2], BK_F32, BK_COMPUTE_F32, false);
    linear(shape[0], shape[1], shape[2], BK_BF16, BK_COMPUTE_BF16, false);
  }
  if (all || chosen[0]) {
    static const size_t shapes[][3] = {{128, 384, 384},   {128, 1152, 384}, {128, 1536, 384},  {128, 384, 1536},
                                       {512, 2048, 2048}, {16, 4096, 4096}, {2048, 1024, 4096}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
      const size_t *s = shapes[i];
      linear(s[0], s[1], s[2], BK_F32, BK_COMPUTE_F32, false);
      linear(s[0], s[1], s[2], BK_BF16, BK_COMPUTE_F32, false);
      linear(s[0], s[1], s[2], BK_F16, BK_COMPUTE_F32, false);
      linear(s[0], s[1], s[2], BK_BF16, BK_COMPUTE_BF16, false);
      linear(s[0], s[1], s[2], BK_F32, BK_COMPUTE_F32, true);
    }
  }
  if (all || chosen[1])
    for (int rows = 0; rows < 2; rows++)
      for (size_t n = 4096; n <= 11008; n += 6912) {
        gemv(n, 4096, BK_F32, BK_COMPUTE_F32, rows, (size_t)1 << 30);
        gemv(n, 4096, BK_BF16, BK_COMPUTE_F32, rows, (size_t)1 << 30);
        gemv(n, 4096, BK_F16, BK_COMPUTE_F32, rows, (size_t)1 << 30);
        gemv(n, 4096, BK_BF16, BK_COMPUTE_BF16, rows, (size_t)1 << 30);
      }
  if (all || chosen[2]) {
    attention(1, 12, 12, 128, 128, 32, false);
    attention(1, 12, 12, 512, 512, 64, false);
    attention(1, 16, 4, 4096, 4096, 64, true);
    attention(1, 32, 8, 1, 4096, 128, true);
    attention(1, 32, 8, 1, 65536, 128, true);
    attention(1, 8, 8, 1, 65536, 128, true);
  }
  if (all || chosen[3]) rest();
  bk_pool_destroy(pool);
  return 0;
}
