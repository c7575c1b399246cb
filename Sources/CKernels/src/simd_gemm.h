/// Register-blocked matrix kernels. The including file defines BK_MR (rows of a register tile at most, a divisor of 12)
/// and BK_NP (panels of a register tile, 1 or 2), and for hardware bf16 products BK_DOT_BF16(acc, a, b).

#define UNROLL _Pragma("clang loop unroll(full)")
#define UNROLL2 _Pragma("clang loop unroll_count(2)")
#define NV(np) ((np) * VPP)

/// Adds a[r] * b[.] for one k to the accumulators; `part` 0 and 1 are the members of a bf16 pair.
#define STEP(np, ROW_VALUE, B_VECTOR)                                                                      \
  do {                                                                                                     \
    vf bv[4 * VPP];                                                                                        \
    UNROLL for (int p = 0; p < (np); p++) UNROLL for (int v = 0; v < VPP; v++) bv[p * VPP + v] = B_VECTOR; \
    UNROLL for (int r = 0; r < mr; r++) {                                                                  \
      vf av = splat(ROW_VALUE);                                                                            \
      UNROLL for (int j = 0; j < NV(np); j++) acc[r][j] = fma_v(av, bv[j], acc[r][j]);                     \
    }                                                                                                      \
  } while (0)

#define ACC_LOAD(np)                                                                      \
  vf acc[BK_MR][4 * VPP];                                                                 \
  UNROLL for (int r = 0; r < mr; r++) UNROLL for (int j = 0; j < NV(np); j++) acc[r][j] = \
      accumulate ? load(c + (size_t)r * ldc + j * VW) : splat(0.0f)
#define ACC_STORE(np)                                                         \
  UNROLL for (int r = 0; r < mr; r++) UNROLL for (int j = 0; j < NV(np); j++) \
      store(c + (size_t)r * ldc + j * VW, acc[r][j])
/// Sums from zero, and onto what was summed before.
#define ACC_ZERO(np)       \
  vf acc[BK_MR][4 * VPP];  \
  UNROLL for (int r = 0; r < mr; r++) UNROLL for (int j = 0; j < NV(np); j++) acc[r][j] = splat(0.0f)
#define ACC_ADD(np)                                                                         \
  if (accumulate)                                                                           \
    UNROLL for (int r = 0; r < mr; r++) UNROLL for (int j = 0; j < NV(np); j++) acc[r][j] = \
        load(c + (size_t)r * ldc + j * VW) + acc[r][j];                                     \
  ACC_STORE(np)

/// Row r of a through one of a few base pointers, so that the rows fit the address registers.
#define ROW(r) (ap[(r) / 3] + ((r) % 3) * lda)
#define ROWS_INIT()                 \
  const float *ap[(BK_MR + 2) / 3]; \
  UNROLL for (int r = 0; r < (mr + 2) / 3; r++) ap[r] = a + (size_t)r * 3 * lda
/// The empty asm hides where a pointer came from: otherwise every row gets an address of its own, and those are
/// spilled.
#define ROWS_NEXT(n)                              \
  UNROLL for (int r = 0; r < (mr + 2) / 3; r++) { \
    ap[r] += (n);                                 \
    __asm__("" : "+r"(ap[r]));                    \
  }

/// A single row streams its weights from memory: asks for what comes PREFETCH bytes later.
enum { PREFETCH = 1536 };
#define AHEAD(p) ((const void *)((uintptr_t)(p) + PREFETCH))
#define FETCH_AHEAD(np) \
  if (mr == 1) UNROLL for (int p = 0; p < (np); p++) __builtin_prefetch(AHEAD(b + p * ps), 0, 3)

FN void tile_f32(int mr, int np, size_t k, const float *a, size_t lda, const float *b, size_t ks, size_t ps, float *c,
                 size_t ldc, bool accumulate) {
  ACC_ZERO(np);
  ROWS_INIT();
  UNROLL2 for (size_t i = 0; i < k; i++) {
    FETCH_AHEAD(np);
    STEP(np, ROW(r)[0], load(b + p * ps + v * VW));
    b += ks;
    ROWS_NEXT(1);
  }
  ACC_ADD(np);
}

/// Tiles of elements that are widened as they are read, one k at a time.
#define TILE_ROWS(name, LOAD)                                                                                        \
  FN void name(int mr, int np, size_t k, const float *a, size_t lda, const uint16_t *b, size_t ks, size_t ps,        \
               float *c, size_t ldc, bool accumulate) {                                                              \
    ACC_ZERO(np);                                                                                                    \
    ROWS_INIT();                                                                                                     \
    for (size_t i = 0; i < k; i++) {                                                                                 \
      FETCH_AHEAD(np);                                                                                               \
      STEP(np, ROW(r)[0], LOAD(b + p * ps + v * VW));                                                                \
      b += ks;                                                                                                       \
      ROWS_NEXT(1);                                                                                                  \
    }                                                                                                                \
    ACC_ADD(np);                                                                                                     \
  }
TILE_ROWS(tile_f16, load_f16)
TILE_ROWS(tile_bf16_rows, load_bf16)

FN void tile_bf16(int mr, int np, size_t k, const float *a, size_t lda, const uint16_t *b, size_t ks, size_t ps,
                  float *c, size_t ldc, bool accumulate) {
  ACC_ZERO(np);
  ROWS_INIT();
  for (size_t i = 0; i < k / 2; i++) {
    FETCH_AHEAD(np);
    STEP(np, ROW(r)[0], as_f(loadu(b + p * ps + v * VW * 2) << 16));
    STEP(np, ROW(r)[1], as_f(loadu(b + p * ps + v * VW * 2) & 0xffff0000u));
    b += ks;
    ROWS_NEXT(2);
  }
  if (k & 1) STEP(np, ROW(r)[0], as_f(loadu(b + p * ps + v * VW * 2) << 16));
  ACC_ADD(np);
}

#ifdef BK_DOT_BF16
FN void tile_pairs(int mr, int np, size_t pairs, const float *a, size_t lda, const uint16_t *b, size_t ks, size_t ps,
                   float *c, size_t ldc, bool accumulate) {
  ACC_LOAD(np);
  ROWS_INIT();
  UNROLL2 for (size_t i = 0; i < pairs; i++) {
    FETCH_AHEAD(np);
    vf bv[4 * VPP];
    UNROLL for (int p = 0; p < np; p++) UNROLL for (int v = 0; v < VPP; v++) bv[p * VPP + v] =
        load(b + p * ps + v * VW * 2);
    UNROLL for (int r = 0; r < mr; r++) {
      vf av = splat(ROW(r)[0]);
      UNROLL for (int j = 0; j < NV(np); j++) acc[r][j] = BK_DOT_BF16(acc[r][j], av, bv[j]);
    }
    b += ks;
    ROWS_NEXT(1);
  }
  ACC_STORE(np);
}
#endif

#define TILE_CASE(tile, type, r)                                                                     \
  case r:                                                                                            \
    if ((r) <= BK_MR) {                                                                              \
      if (BK_NP == 2 && panels == 2)                                                                 \
        tile((r) <= BK_MR ? (r) : 1, BK_NP, k, a, lda, (const type *)b, ks, ps, c, ldc, accumulate); \
      else                                                                                           \
        tile((r) <= BK_MR ? (r) : 1, 1, k, a, lda, (const type *)b, ks, ps, c, ldc, accumulate);     \
    }                                                                                                \
    break;

/// Rows that a kernel takes with four panels.
#define FEW_ROWS (VPP == 1 ? 2 : 1)

/// A kernel for 1...BK_MR rows of two panels at most, or few of four: more sums at a time hide the latency of their
/// additions.
#define GEMM_KERNEL(name, tile, type)                                                                                 \
  static __attribute__((noinline)) void name##_tile(int rows, int panels, size_t k, const float *a, size_t lda,       \
                                                    const void *b, size_t ks, size_t ps, float *c, size_t ldc,        \
                                                    bool accumulate) {                                                \
    switch (rows) {                                                                                                   \
      TILE_CASE(tile, type, 1)                                                                                        \
      TILE_CASE(tile, type, 2) TILE_CASE(tile, type, 3) TILE_CASE(tile, type, 4) TILE_CASE(tile, type, 5)             \
          TILE_CASE(tile, type, 6) TILE_CASE(tile, type, 7) TILE_CASE(tile, type, 8) TILE_CASE(tile, type, 9)         \
              TILE_CASE(tile, type, 10) TILE_CASE(tile, type, 11) TILE_CASE(tile, type, 12)                           \
    }                                                                                                                 \
  }                                                                                                                   \
  static __attribute__((noinline)) void name##_few(int rows, size_t k, const float *a, size_t lda, const void *b,     \
                                                   size_t ks, size_t ps, float *c, size_t ldc, bool accumulate) {     \
    if (rows == 1)                                                                                                    \
      tile(1, 4, k, a, 0, (const type *)b, ks, ps, c, 0, accumulate);                                                 \
    else                                                                                                              \
      tile(FEW_ROWS, 4, k, a, lda, (const type *)b, ks, ps, c, ldc, accumulate);                                      \
  }                                                                                                                   \
  static void name(int rows, int panels, size_t k, const float *a, size_t lda, const void *b, size_t ks, size_t ps,   \
                   float *c, size_t ldc, bool accumulate) {                                                           \
    if (rows <= FEW_ROWS && panels == 4) {                                                                            \
      name##_few(rows, k, a, lda, b, ks, ps, c, ldc, accumulate);                                                     \
      return;                                                                                                         \
    }                                                                                                                 \
    for (int p = 0; p < panels; p += BK_NP)                                                                           \
      name##_tile(rows, panels - p < BK_NP ? panels - p : BK_NP, k, a, lda, (const type *)b + (size_t)p * ps, ks, ps, \
                  c + p * BK_PANEL, ldc, accumulate);                                                                 \
  }

GEMM_KERNEL(gemm_f32, tile_f32, float)
GEMM_KERNEL(gemm_bf16, tile_bf16, uint16_t)
GEMM_KERNEL(gemm_f16, tile_f16, uint16_t)
GEMM_KERNEL(gemm_bf16_rows, tile_bf16_rows, uint16_t)
#ifdef BK_DOT_BF16
GEMM_KERNEL(gemm_pairs_any, tile_pairs, uint16_t)
static void gemm_pairs(int rows, int panels, size_t pairs, const uint32_t *a, size_t lda, const void *b, size_t ps,
                       float *c, size_t ldc, bool accumulate) {
  gemm_pairs_any(rows, panels, pairs, (const float *)(const void *)a, lda, b, 2 * BK_PANEL, ps, c, ldc, accumulate);
}
#endif

// ------------------------------------------------------------------------------------------------- dot products

#define DOTS_CASE(mr, tile)                          \
  case mr:                                           \
    if (four)                                        \
      tile(mr, 4, k, ar, lda, bj, ldb, cr + j, ldc); \
    else                                             \
      tile(mr, 1, k, ar, lda, bj, ldb, cr + j, ldc); \
    break;

/// c[r][j] = a[r] . b[j]: register tiles of mr by nr rows; a single row of a goes along each row of b with four sums.
#define DOTS(name, type, LOAD)                                                                                         \
  FN void name##_tile(int mr, int nr, size_t k, const float *a, size_t lda, const type *b, size_t ldb, float *c,       \
                      size_t ldc) {                                                                                    \
    vf acc[4][4];                                                                                                      \
    UNROLL for (int r = 0; r < mr; r++) UNROLL for (int j = 0; j < nr; j++) acc[r][j] = splat(0.0f);                   \
    size_t i = 0;                                                                                                      \
    for (; i + VW <= k; i += VW) {                                                                                     \
      vf bv[4];                                                                                                        \
      UNROLL for (int j = 0; j < nr; j++) bv[j] = LOAD(b + (size_t)j * ldb + i);                                       \
      UNROLL for (int r = 0; r < mr; r++) {                                                                            \
        vf av = load(a + (size_t)r * lda + i);                                                                         \
        UNROLL for (int j = 0; j < nr; j++) acc[r][j] = fma_v(av, bv[j], acc[r][j]);                                   \
      }                                                                                                                \
    }                                                                                                                  \
    if (i < k) {                                                                                                       \
      vf bv[4];                                                                                                        \
      UNROLL for (int j = 0; j < nr; j++) {                                                                            \
        type part[VW] = {0};                                                                                           \
        memcpy(part, b + (size_t)j * ldb + i, (k - i) * sizeof(type));                                                 \
        bv[j] = LOAD(part);                                                                                            \
      }                                                                                                                \
      UNROLL for (int r = 0; r < mr; r++) {                                                                            \
        vf av = load_part(a + (size_t)r * lda + i, k - i, 0.0f);                                                       \
        UNROLL for (int j = 0; j < nr; j++) acc[r][j] = fma_v(av, bv[j], acc[r][j]);                                   \
      }                                                                                                                \
    }                                                                                                                  \
    UNROLL for (int r = 0; r < mr; r++) {                                                                              \
      if (nr == 4) {                                                                                                   \
        vf4 sums = sums_v(acc[r][0], acc[r][1], acc[r][2], acc[r][3]);                                                 \
        memcpy(c + (size_t)r * ldc, &sums, sizeof sums);                                                               \
      } else {                                                                                                         \
        UNROLL for (int j = 0; j < nr; j++) c[(size_t)r * ldc + j] = sum_v(acc[r][j]);                                 \
      }                                                                                                                \
    }                                                                                                                  \
  }                                                                                                                    \
  static void name##_row(size_t n, size_t k, const float *a, const type *b, size_t ldb, float *c) {                    \
    for (size_t j = 0; j < n; j++, b += ldb) {                                                                         \
      vf acc[4];                                                                                                       \
      UNROLL for (int u = 0; u < 4; u++) acc[u] = splat(0.0f);                                                         \
      size_t i = 0;                                                                                                    \
      for (; i + 4 * VW <= k; i += 4 * VW) {                                                                           \
        UNROLL for (int u = 0; u < 4; u += 4 / (int)sizeof(type)) __builtin_prefetch(AHEAD(b + i + u * VW), 0, 3);     \
        UNROLL for (int u = 0; u < 4; u++) acc[u] = fma_v(load(a + i + u * VW), LOAD(b + i + u * VW), acc[u]);         \
      }                                                                                                                \
      for (; i + VW <= k; i += VW) acc[0] = fma_v(load(a + i), LOAD(b + i), acc[0]);                                   \
      if (i < k) {                                                                                                     \
        type part[VW] = {0};                                                                                           \
        memcpy(part, b + i, (k - i) * sizeof(type));                                                                   \
        acc[1] = fma_v(load_part(a + i, k - i, 0.0f), LOAD(part), acc[1]);                                             \
      }                                                                                                                \
      c[j] = sum_v((acc[0] + acc[1]) + (acc[2] + acc[3]));                                                             \
    }                                                                                                                  \
  }                                                                                                                    \
  static void name(size_t rows, size_t n, size_t k, const float *a, size_t lda, const void *bytes, size_t ldb,         \
                   float *c, size_t ldc) {                                                                             \
    const type *b = bytes;                                                                                             \
    if (rows == 1) {                                                                                                   \
      name##_row(n, k, a, b, ldb, c);                                                                                  \
      return;                                                                                                          \
    }                                                                                                                  \
    for (size_t r = 0; r < rows; r += 4) {                                                                             \
      const float *ar = a + r * lda;                                                                                   \
      float *cr = c + r * ldc;                                                                                         \
      for (size_t j = 0; j < n;) {                                                                                     \
        bool four = n - j >= 4;                                                                                        \
        const type *bj = b + j * ldb;                                                                                  \
        switch (bk_min(rows - r, 4)) {                                                                                 \
          DOTS_CASE(1, name##_tile)                                                                                    \
          DOTS_CASE(2, name##_tile)                                                                                    \
          DOTS_CASE(3, name##_tile)                                                                                    \
          DOTS_CASE(4, name##_tile)                                                                                    \
        }                                                                                                              \
        j += four ? 4 : 1;                                                                                             \
      }                                                                                                                \
    }                                                                                                                  \
  }

DOTS(dots_f32, float, load)
DOTS(dots_bf16, uint16_t, load_bf16)
DOTS(dots_f16, uint16_t, load_f16)

// ------------------------------------------------------------------------------------------- epilogue, transpose

FN void epilogue_act(bk_activation act, const bk_linear_args *g, const float *tile, size_t row, size_t rows,
                     size_t column, size_t columns) {
  const float *bias = g->bias ? g->bias + column : NULL;
  for (size_t r = 0; r < rows; r++) {
    const float *t = tile + r * BK_TILE_N;
    const float *res = g->residual ? g->residual + (row + r) * g->residual_stride + column : NULL;
    float *y = g->y + (row + r) * g->y_stride + column;
    size_t j = 0;
    for (; j + VW <= columns; j += VW) {
      vf v = load(t + j);
      if (bias) v += load(bias + j);
      v = activate(act, v);
      if (res) v += load(res + j);
      store(y + j, v);
    }
    if (j < columns) {
      vf v = load(t + j);
      if (bias) v += load_part(bias + j, columns - j, 0.0f);
      v = activate(act, v);
      if (res) v += load_part(res + j, columns - j, 0.0f);
      store_part(y + j, v, columns - j);
    }
  }
}

static void epilogue(const bk_linear_args *g, const float *tile, size_t row, size_t rows, size_t column,
                     size_t columns) {
  switch (g->activation) {
    case BK_ACT_RELU: epilogue_act(BK_ACT_RELU, g, tile, row, rows, column, columns); break;
    case BK_ACT_GELU_ERF: epilogue_act(BK_ACT_GELU_ERF, g, tile, row, rows, column, columns); break;
    case BK_ACT_GELU_TANH: epilogue_act(BK_ACT_GELU_TANH, g, tile, row, rows, column, columns); break;
    case BK_ACT_SILU: epilogue_act(BK_ACT_SILU, g, tile, row, rows, column, columns); break;
    case BK_ACT_TANH: epilogue_act(BK_ACT_TANH, g, tile, row, rows, column, columns); break;
    case BK_ACT_SIGMOID: epilogue_act(BK_ACT_SIGMOID, g, tile, row, rows, column, columns); break;
    default: epilogue_act(BK_ACT_NONE, g, tile, row, rows, column, columns); break;
  }
}

#if VW == 16
#define ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#define STAGES 4
#elif VW == 8
#define ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#define STAGES 3
#else
#define ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#define STAGES 2
#endif

/// [16 rows][k] to [k][16] by log2(VW) rounds of interleaving row i with row i + VW/2.
static void transpose(uint32_t *dst, const uint32_t *src, size_t stride, size_t k) {
  size_t i = 0;
  for (; i + VW <= k; i += VW) {
    for (int part = 0; part < VPP; part++) {
      vu m[VW], t[VW];
      UNROLL for (int r = 0; r < VW; r++) m[r] = loadu(src + ((size_t)part * VW + (size_t)r) * stride + i);
      UNROLL for (int s = 0; s < STAGES; s++) {
        UNROLL for (int r = 0; r < VW / 2; r++) {
          t[2 * r] = ZIP_LOW(m[r], m[r + VW / 2]);
          t[2 * r + 1] = ZIP_HIGH(m[r], m[r + VW / 2]);
        }
        UNROLL for (int r = 0; r < VW; r++) m[r] = t[r];
      }
      UNROLL for (int r = 0; r < VW; r++) store(dst + (i + (size_t)r) * BK_PANEL + part * VW, (vf)m[r]);
    }
  }
  for (; i < k; i++)
    for (size_t r = 0; r < BK_PANEL; r++) memcpy(dst + i * BK_PANEL + r, src + r * stride + i, 4);
}
