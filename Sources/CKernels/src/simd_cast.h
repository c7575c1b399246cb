/// Casts to a narrower float that count what they change, see bk_cast.

/// Vectors after which sums of errors are taken out of 32 bits: an error is 2^23 units at most.
enum { CAST_RUN = 256 };

typedef struct {
  vi changed, overflowed, underflowed, nan;  ///< less one for each value
  vu units, largest;
} cast_sums;

/// Errors in units of 2^-24 ulp of a 16-bit type. Those of bf16 are the distance of the patterns, 2^16 to an ulp; those
/// of f16 are exact in f32, as are the differences.
FN void cast_note(cast_sums *sums, vf x, vf y, bool is_f16) {
  const vu xm = as_u(x) & 0x7fffffffu, ym = as_u(y) & 0x7fffffffu;
  const vi is_nan = xm > 0x7f800000u;
  const vi changed = (as_u(x) != as_u(y)) & ~is_nan, is_infinite = ym == 0x7f800000u;
  const vi is_finite = changed & ~is_infinite;
  sums->nan += is_nan;
  sums->changed += changed;
  sums->overflowed += changed & is_infinite;
  sums->underflowed += changed & (ym == 0u);
  vu units;
  if (is_f16) {
    const vu exponent = (xm >> 23) > 113u ? xm >> 23 : (vu)113u;
    const vf difference = as_f(as_u(abs_v(x - y)) & (vu)is_finite);
    units = (vu) __builtin_convertvector(difference * as_f((288u - exponent) << 23), vi);
  } else {
    units = ((xm > ym ? xm - ym : ym - xm) & (vu)is_finite) << 8;
  }
  sums->units += units;
  sums->largest = sums->largest > units ? sums->largest : units;
}

static void cast_flush(bk_cast_counts *counts, const cast_sums *sums) {
  for (int k = 0; k < VW; k++) {
    counts->nan -= (uint64_t)(int64_t)sums->nan[k];
    counts->changed -= (uint64_t)(int64_t)sums->changed[k];
    counts->overflowed -= (uint64_t)(int64_t)sums->overflowed[k];
    counts->underflowed -= (uint64_t)(int64_t)sums->underflowed[k];
    counts->units += sums->units[k];
    if (sums->largest[k] > counts->largest) counts->largest = sums->largest[k];
  }
}

/// Whole vectors in runs, then the rest through one that is filled up with zeros, which count for nothing.
#define CAST(name, src_type, LOAD, STORE, LOAD_BACK, is_f16)                        \
  static void name(void *dst, const void *src, size_t n, bk_cast_counts *counts) {  \
    char *d = dst;                                                                  \
    const char *s = src;                                                            \
    size_t i = 0;                                                                   \
    while (i + VW <= n) {                                                           \
      cast_sums sums = {0};                                                         \
      const size_t end = bk_min(n - VW, i + (CAST_RUN - 1) * VW);                   \
      for (; i <= end; i += VW) {                                                   \
        const vf x = LOAD(s + i * sizeof(src_type));                                \
        STORE(d + i * 2, x);                                                        \
        cast_note(&sums, x, LOAD_BACK(d + i * 2), is_f16);                          \
      }                                                                             \
      cast_flush(counts, &sums);                                                    \
    }                                                                               \
    if (i < n) {                                                                    \
      src_type in[VW] = {0};                                                        \
      uint16_t out[VW];                                                             \
      cast_sums sums = {0};                                                         \
      memcpy(in, s + i * sizeof(src_type), (n - i) * sizeof(src_type));             \
      STORE(out, LOAD(in));                                                         \
      cast_note(&sums, LOAD(in), LOAD_BACK(out), is_f16);                           \
      memcpy(d + i * 2, out, (n - i) * 2);                                          \
      cast_flush(counts, &sums);                                                    \
    }                                                                               \
  }
CAST(cast_f32_to_bf16, float, load, STORE_BF16, load_bf16, false)
CAST(cast_f16_to_bf16, uint16_t, load_f16, STORE_BF16, load_bf16, false)
CAST(cast_f32_to_f16, float, load, store_f16, load_f16, true)
CAST(cast_bf16_to_f16, uint16_t, load_bf16, store_f16, load_f16, true)

FN uint64_t bits_of(double x) {
  uint64_t u;
  memcpy(&u, &x, sizeof u);
  return u;
}

/// x in f32, rounded so that rounding it once more to a narrower type gives what rounding x would: toward zero, and
/// where that is not exact, to an odd last bit.
FN float round_to_odd(double x) {
  float f = (float)x;
  uint32_t u;
  memcpy(&u, &f, sizeof u);
  if ((double)f == x || x != x) return f;
  if (__builtin_fabs((double)f) > __builtin_fabs(x)) u--;
  u |= 1;
  memcpy(&f, &u, sizeof f);
  return f;
}

/// Notes values that were f64 before; `fraction` and `least` are the bits of the new type's fraction and the exponent
/// of its least normal number.
FN void cast_note_f64(bk_cast_counts *counts, double x, float y, uint64_t fraction, int64_t least) {
  const uint64_t xm = bits_of(x) & (UINT64_MAX >> 1);
  const bool is_nan = xm > UINT64_C(0x7ff) << 52, changed = !is_nan && x != (double)y;
  const bool is_infinite = changed && __builtin_isinf(y);
  counts->nan += is_nan;
  counts->changed += changed;
  counts->overflowed += is_infinite;
  counts->underflowed += changed && y == 0;
  if (!changed || is_infinite) return;
  const uint64_t floor = (uint64_t)(1023 + least), exponent = xm >> 52 > floor ? xm >> 52 : floor;
  const uint64_t scale_bits = (24 + fraction + 2046 - exponent) << 52;
  double scale;
  memcpy(&scale, &scale_bits, sizeof scale);
  const uint32_t units = (uint32_t)(__builtin_fabs(x - (double)y) * scale);
  counts->units += units;
  if (units > counts->largest) counts->largest = units;
}

/// The type's values are made from f32 ones a stage at a time.
static void cast_f64(bk_dtype type, void *dst, const void *src, size_t n, bk_cast_counts *counts) {
  enum { STAGE = 512 };
  float stage[STAGE];
  const char *s = src;
  const uint64_t fraction = type == BK_F32 ? 23 : type == BK_F16 ? 10 : 7;
  const int64_t least = type == BK_F16 ? -14 : -126;
  for (size_t i = 0; i < n; i += STAGE) {
    const size_t part = bk_min(n - i, STAGE);
    double x[STAGE];
    memcpy(x, s + i * sizeof(double), part * sizeof(double));
    for (size_t k = 0; k < part; k++) stage[k] = type == BK_F32 ? (float)x[k] : round_to_odd(x[k]);
    char *d = (char *)dst + i * (type == BK_F32 ? 4 : 2);
    if (type == BK_F32) {
      memcpy(d, stage, part * 4);
    } else if (type == BK_F16) {
      f32_to_f16(d, stage, part);
      f16_to_f32(stage, d, part);
    } else {
      f32_to_bf16(d, stage, part);
      bf16_to_f32(stage, d, part);
    }
    for (size_t k = 0; k < part; k++) cast_note_f64(counts, x[k], stage[k], fraction, least);
  }
}
