/// Numbers of any type as doubles, and what is summed up of them. Sums go to 16 lanes, which are added in one order, so
/// that every instruction set gives the same bits.

typedef double vd __attribute__((ext_vector_type(VW)));
typedef int64_t vl __attribute__((ext_vector_type(VW)));
enum { LANES = 16, PARTS = LANES / VW };

/// A vector of this type at p. No function: wide vectors would be passed differently where they are not native.
#define LOAD_AS(vector, p)          \
  ({                                \
    vector loaded;                  \
    memcpy(&loaded, p, sizeof loaded); \
    loaded;                         \
  })

#define WIDEN(name, type, VALUE)                                                    \
  static void name(double *dst, const void *src, size_t n) {                        \
    const char *s = src;                                                            \
    size_t i = 0;                                                                   \
    for (; i + VW <= n; i += VW) {                                                  \
      const char *p = s + i * sizeof(type);                                         \
      vd v = VALUE;                                                                 \
      memcpy(dst + i, &v, sizeof v);                                                \
    }                                                                               \
    if (i < n) {                                                                    \
      char part[VW * sizeof(type)] = {0};                                           \
      memcpy(part, s + i * sizeof(type), (n - i) * sizeof(type));                   \
      const char *p = part;                                                         \
      vd v = VALUE;                                                                 \
      memcpy(dst + i, &v, (n - i) * sizeof(double));                                \
    }                                                                               \
  }
#define WIDEN_PLAIN(type)                                     \
  typedef type v_##type __attribute__((ext_vector_type(VW))); \
  WIDEN(doubles_##type, type, __builtin_convertvector(LOAD_AS(v_##type, p), vd))
WIDEN(doubles_f32, float, __builtin_convertvector(load(p), vd))
WIDEN(doubles_bf16, uint16_t, __builtin_convertvector(load_bf16(p), vd))
WIDEN(doubles_f16, uint16_t, __builtin_convertvector(load_f16(p), vd))
WIDEN_PLAIN(int16_t)
WIDEN_PLAIN(uint16_t)
WIDEN_PLAIN(int32_t)
WIDEN_PLAIN(uint32_t)
WIDEN_PLAIN(int64_t)
WIDEN_PLAIN(uint64_t)

FN double lanes_sum(const vd parts[PARTS]) {
  double lanes[LANES];
  memcpy(lanes, parts, sizeof lanes);
  for (int width = LANES / 2; width > 0; width /= 2)
    for (int i = 0; i < width; i++) lanes[i] += lanes[i + width];
  return lanes[0];
}
FN uint64_t lanes_count(const vl parts[PARTS]) {
  int64_t lanes[LANES], total = 0;
  memcpy(lanes, parts, sizeof lanes);
  for (int i = 0; i < LANES; i++) total -= lanes[i];
  return (uint64_t)total;
}

/// Takes a block of at most BK_BLOCK values; deviations are taken from its first finite one.
static void summarize(const double *x, size_t n, bk_summary *out) {
  double shift = 0;
  for (size_t i = 0; i < n; i++)
    if (x[i] - x[i] == 0) {
      shift = x[i];
      break;
    }
  vd least[PARTS], greatest[PARTS], sum[PARTS], squares[PARTS];
  vl nans[PARTS], high[PARTS], low[PARTS], zeros[PARTS];
  for (int k = 0; k < PARTS; k++) {
    least[k] = (vd)INFINITY, greatest[k] = (vd)-INFINITY, sum[k] = squares[k] = (vd)0.0;
    nans[k] = high[k] = low[k] = zeros[k] = (vl)0;
  }
  double last[LANES];
  for (size_t i = 0; i < n; i += LANES) {
    const double *p = x + i;
    if (n - i < LANES) {
      for (size_t k = 0; k < LANES; k++) last[k] = k < n - i ? p[k] : NAN;
      p = last;
    }
    UNROLL for (int k = 0; k < PARTS; k++) {
      vd v = LOAD_AS(vd, p + k * VW);
      vl nan = v != v, above = v == (vd)INFINITY, below = v == (vd)-INFINITY;
      vl bad = nan | above | below;
      nans[k] += nan, high[k] += above, low[k] += below, zeros[k] += v == (vd)0.0;
      least[k] = (~bad & (v < least[k])) ? v : least[k];
      greatest[k] = (~bad & (v > greatest[k])) ? v : greatest[k];
      vd d = bad ? (vd)0.0 : v - (vd)shift;
      sum[k] += d;
      d *= d;
      squares[k] += d;
    }
  }
  uint64_t padding = (LANES - n % LANES) % LANES;
  *out = (bk_summary){.zeros = lanes_count(zeros),
                      .nans = lanes_count(nans) - padding,
                      .infinities = lanes_count(high),
                      .negative_infinities = lanes_count(low),
                      .least = INFINITY,
                      .greatest = -INFINITY};
  out->finite = n - out->nans - out->infinities - out->negative_infinities;
  for (int k = 0; k < PARTS; k++)
    for (int j = 0; j < VW; j++) {
      if (least[k][j] < out->least) out->least = least[k][j];
      if (greatest[k][j] > out->greatest) out->greatest = greatest[k][j];
    }
  if (out->finite == 0) return;
  double total = lanes_sum(sum), count = (double)out->finite, offset = total / count, product = total * offset;
  out->mean = shift + offset;
  out->squares = lanes_sum(squares) - product;
  if (out->squares < 0) out->squares = 0;
}

/// Compares a block of pairs; those of which one is not finite count only as such.
static void difference(const double *a, const double *b, size_t n, bk_difference *out) {
  vd largest[PARTS], scale[PARTS], sum[PARTS], aa[PARTS], bb[PARTS], ab[PARTS];
  vl finite[PARTS], unequal[PARTS], mismatched[PARTS];
  for (int k = 0; k < PARTS; k++) {
    largest[k] = scale[k] = sum[k] = aa[k] = bb[k] = ab[k] = (vd)0.0;
    finite[k] = unequal[k] = mismatched[k] = (vl)0;
  }
  double last[2][LANES];
  for (size_t i = 0; i < n; i += LANES) {
    const double *p = a + i, *q = b + i;
    if (n - i < LANES) {
      for (size_t k = 0; k < LANES; k++) last[0][k] = k < n - i ? p[k] : NAN, last[1][k] = k < n - i ? q[k] : NAN;
      p = last[0], q = last[1];
    }
    UNROLL for (int k = 0; k < PARTS; k++) {
      vd x = LOAD_AS(vd, p + k * VW), y = LOAD_AS(vd, q + k * VW);
      vl good = (x - x == (vd)0.0) & (y - y == (vd)0.0);
      finite[k] += good;
      vl differs = (x != y) & ~((x != x) & (y != y));
      unequal[k] += differs;
      mismatched[k] += differs & ~good;
      x = good ? x : (vd)0.0, y = good ? y : (vd)0.0;
      vd d = __builtin_elementwise_abs(x - y), magnitude = __builtin_elementwise_abs(x);
      largest[k] = (d > largest[k]) ? d : largest[k];
      scale[k] = (magnitude > scale[k]) ? magnitude : scale[k];
      sum[k] += d;
      vd xx = x * x, yy = y * y, xy = x * y;
      aa[k] += xx;
      bb[k] += yy;
      ab[k] += xy;
    }
  }
  *out = (bk_difference){.finite = lanes_count(finite), .unequal = lanes_count(unequal),
                         .mismatched = lanes_count(mismatched), .sum = lanes_sum(sum), .aa = lanes_sum(aa),
                         .bb = lanes_sum(bb), .ab = lanes_sum(ab)};
  for (int k = 0; k < PARTS; k++)
    for (int j = 0; j < VW; j++) {
      if (largest[k][j] > out->largest) out->largest = largest[k][j];
      if (scale[k][j] > out->scale) out->scale = scale[k][j];
    }
}

// -------------------------------------------------------------------------------------------------- fingerprints

/// Two well mixed words of one word, of zero too. The first is a permutation.
FN void mix(vu v, vu *first, vu *second) {
  v ^= 0x5bd1e995u;
  v ^= v >> 16;
  v *= 0x7feb352du;
  v ^= v >> 15;
  v *= 0x846ca68bu;
  v ^= v >> 16;
  *first = v;
  v *= 0x9e3779b1u;
  *second = v ^ (v >> 15);
}

FN vu words_8(const char *p) {
  vb v;
  memcpy(&v, p, sizeof v);
  return __builtin_convertvector(v, vu);
}
FN vu words_16(const char *p) { return __builtin_convertvector(loadh(p), vu); }
FN vu words_32(const char *p) { return loadu(p); }
/// Both halves of a longer word count.
FN vu words_64(const char *p) {
  v_uint64_t v = LOAD_AS(v_uint64_t, p);
  v *= 0x9e3779b97f4a7c15u;
  return __builtin_convertvector((v ^ (v >> 32)) & 0xffffffffu, vu);
}

#define MIX_ROW(name, size, WORDS)                                                                      \
  static uint64_t name(const void *src, size_t n, uint32_t *first_sums, uint32_t *second_sums) {        \
    const char *s = src;                                                                                \
    vu total1 = (vu)0u, total2 = (vu)0u, a, b;                                                          \
    for (size_t i = 0; i < n; i += VW) {                                                                \
      char part[VW * size] = {0};                                                                       \
      const char *p = s + i * size;                                                                     \
      size_t left = n - i < VW ? n - i : VW;                                                            \
      if (left < VW) {                                                                                  \
        memcpy(part, p, left *size);                                                                    \
        p = part;                                                                                       \
      }                                                                                                 \
      mix(WORDS(p), &a, &b);                                                                            \
      if (left < VW)                                                                                    \
        for (size_t k = left; k < VW; k++) a[k] = b[k] = 0;                                             \
      total1 += a;                                                                                      \
      total2 += b;                                                                                      \
      if (!first_sums) continue;                                                                        \
      vu old1 = (vu)0u, old2 = (vu)0u;                                                                  \
      if (left == VW) {                                                                                 \
        old1 = loadu(first_sums + i) + a, old2 = loadu(second_sums + i) + b;                            \
        memcpy(first_sums + i, &old1, sizeof old1);                                                     \
        memcpy(second_sums + i, &old2, sizeof old2);                                                    \
      } else {                                                                                          \
        for (size_t k = 0; k < left; k++) first_sums[i + k] += a[k], second_sums[i + k] += b[k];        \
      }                                                                                                 \
    }                                                                                                   \
    uint32_t sum1 = 0, sum2 = 0;                                                                        \
    for (int k = 0; k < VW; k++) sum1 += total1[k], sum2 += total2[k];                                  \
    return (uint64_t)sum2 << 32 | sum1;                                                                 \
  }
MIX_ROW(mix_row_8, 1, words_8)
MIX_ROW(mix_row_16, 2, words_16)
MIX_ROW(mix_row_32, 4, words_32)
MIX_ROW(mix_row_64, 8, words_64)
