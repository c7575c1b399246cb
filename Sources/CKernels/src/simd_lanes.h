/// Dot products in the order of PyTorch's CPU kernel for float16: element k goes to sum k mod 64, and the 64 sums are
/// added as a tree. What is left of a row goes to eight sums, sixteen elements at a time, and the last ones are added
/// one by one. Products of float16 are exact, so that it does not matter where multiplications are fused.

enum { SUMS = 64, LANE_VECTORS = SUMS / VW, LANE_TILE = VW == 16 ? 2 : 1 };

/// `sum` and a . b, n < 64.
static float lanes_rest(float sum, const float *a, const float *b, size_t n) {
  float s[8] = {0};
  size_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (int l = 0; l < 16; l++) s[l % 8] += a[i + l] * b[i + l];
  sum += ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
  for (; i < n; i++) sum += a[i] * b[i];
  return sum;
}

#define LANE_DOTS(name, type, LOAD)                                                                                   \
  FN void name##_tile(int mr, int nr, size_t k, const float *a, size_t lda, const type *b, size_t ldb, float *c,      \
                      size_t ldc) {                                                                                   \
    vf acc[LANE_TILE][LANE_TILE][LANE_VECTORS];                                                                       \
    UNROLL for (int r = 0; r < mr; r++) UNROLL for (int j = 0; j < nr; j++)                                           \
        UNROLL for (int v = 0; v < LANE_VECTORS; v++) acc[r][j][v] = splat(0.0f);                                     \
    const size_t whole = k / SUMS * SUMS, rest = k - whole;                                                           \
    for (size_t i = 0; i < whole; i += SUMS) {                                                                        \
      UNROLL for (int v = 0; v < LANE_VECTORS; v++) {                                                                 \
        vf bv[LANE_TILE];                                                                                             \
        UNROLL for (int j = 0; j < nr; j++) bv[j] = LOAD(b + (size_t)j * ldb + i + v * VW);                           \
        UNROLL for (int r = 0; r < mr; r++) {                                                                         \
          vf av = load(a + (size_t)r * lda + i + v * VW);                                                             \
          UNROLL for (int j = 0; j < nr; j++) acc[r][j][v] = fma_v(av, bv[j], acc[r][j][v]);                          \
        }                                                                                                             \
      }                                                                                                               \
    }                                                                                                                 \
    UNROLL for (int j = 0; j < nr; j++) {                                                                             \
      float wide[SUMS];                                                                                               \
      if (rest) {                                                                                                     \
        type part[SUMS] = {0};                                                                                        \
        memcpy(part, b + (size_t)j * ldb + whole, rest * sizeof(type));                                               \
        for (int v = 0; v < LANE_VECTORS; v++) store(wide + v * VW, LOAD(part + v * VW));                             \
      }                                                                                                               \
      UNROLL for (int r = 0; r < mr; r++) {                                                                           \
        UNROLL for (int half = LANE_VECTORS / 2; half > 0; half /= 2)                                                 \
            UNROLL for (int v = 0; v < half; v++) acc[r][j][v] += acc[r][j][v + half];                                \
        const float sum = sum_v(acc[r][j][0]);                                                                        \
        c[(size_t)r * ldc + j] = rest ? lanes_rest(sum, a + (size_t)r * lda + whole, wide, rest) : sum;               \
      }                                                                                                               \
    }                                                                                                                 \
  }                                                                                                                   \
  static void name(size_t rows, size_t n, size_t k, const float *a, size_t lda, const void *bytes, size_t ldb,        \
                   float *c, size_t ldc) {                                                                            \
    const type *b = bytes;                                                                                            \
    size_t r = 0;                                                                                                     \
    for (; r + LANE_TILE <= rows; r += LANE_TILE) {                                                                   \
      size_t j = 0;                                                                                                   \
      for (; j + LANE_TILE <= n; j += LANE_TILE)                                                                      \
        name##_tile(LANE_TILE, LANE_TILE, k, a + r * lda, lda, b + j * ldb, ldb, c + r * ldc + j, ldc);               \
      for (; j < n; j++) name##_tile(LANE_TILE, 1, k, a + r * lda, lda, b + j * ldb, ldb, c + r * ldc + j, ldc);      \
    }                                                                                                                 \
    for (; r < rows; r++)                                                                                             \
      for (size_t j = 0; j < n; j++) name##_tile(1, 1, k, a + r * lda, lda, b + j * ldb, ldb, c + r * ldc + j, ldc);  \
  }

LANE_DOTS(lanes_f32, float, load)
LANE_DOTS(lanes_bf16, uint16_t, load_bf16)
LANE_DOTS(lanes_f16, uint16_t, load_f16)
