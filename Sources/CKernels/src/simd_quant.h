/// Row-wise quantization. Arithmetic is done in the type that a row is stored in: each operation is rounded to it.

/// The first `left` of VW elements as floats; the others are zero.
FN vf load_as(bk_dtype type, const void *p, size_t left) {
  float padded[VW];
  if (left < VW) {
    memset(padded, 0, sizeof padded);
    memcpy(padded, p, left * (type == BK_F32 ? 4 : 2));
    p = padded;
  }
  switch (type) {
    case BK_F32: return load(p);
    case BK_BF16: return load_bf16(p);
    case BK_F16: return load_f16(p);
  }
}

/// Rounded to the values of a type.
FN vf round_to(bk_dtype type, vf x) {
  uint16_t half[VW];
  switch (type) {
    case BK_F32: return x;
    case BK_BF16: return widen_bf16(narrow_bf16(x));
    case BK_F16: store_f16(half, x); return load_f16(half);
  }
}

/// Runs STATEMENT over vectors v of a row of `type`; `left` elements count, the others are zero.
#define EACH_AS(type, x, n, STATEMENT)                                               \
  for (size_t i = 0; i < (n); i += VW) {                                             \
    const size_t left = (n) - i < VW ? (n) - i : VW;                                 \
    vf v = load_as((type), (const char *)(x) + i * ((type) == BK_F32 ? 4 : 2), left); \
    STATEMENT                                                                        \
  }

/// A function for each type, compiled with the type known.
#define BY_TYPE(name, parameters, ...)                                                \
  static void name parameters {                                                       \
    switch (type) {                                                                   \
      case BK_F32: name##_as(BK_F32, __VA_ARGS__); break;                             \
      case BK_BF16: name##_as(BK_BF16, __VA_ARGS__); break;                           \
      case BK_F16: name##_as(BK_F16, __VA_ARGS__); break;                             \
    }                                                                                 \
  }

/// Least and greatest of the row and zero; NaN in *high when an element is no finite number.
FN void quant_range_as(bk_dtype type, const void *x, size_t n, float *low, float *high) {
  vf least = splat(0.0f), greatest = splat(0.0f);
  vi odd = (vi)0;
  EACH_AS(type, x, n, {
    least = min_v(v, least);
    greatest = choose(v > greatest, v, greatest);
    odd |= (as_u(v) & 0x7f800000u) == 0x7f800000u;
  });
  int any = 0;
  for (int k = 0; k < VW; k++) any |= odd[k];
  *low = -max_of(-least);
  *high = any ? NAN : max_of(greatest);
}
BY_TYPE(quant_range, (bk_dtype type, const void *x, size_t n, float *low, float *high), x, n, low, high)

/// x rounded to a whole number, ties to even; |x| is at most 2^22.
FN vf nearest_even(vf x) { return (x + splat(0x1.8p23f)) - splat(0x1.8p23f); }

FN void store_bytes(void *p, vi v, size_t left) {
  vb bytes = __builtin_convertvector(v, vb);
  memcpy(p, &bytes, left);
}

FN void quant_int_as(bk_dtype type, int8_t *codes, const void *x, size_t n, float scale, float offset, float low,
                     float high) {
  EACH_AS(type, x, n, {
    vf q = round_to(type, v / splat(scale));
    if (offset != 0.0f) q = round_to(type, q + splat(offset));
    q = min_v(max_v(q, splat(low)), splat(high));
    store_bytes(codes + i, __builtin_convertvector(nearest_even(q), vi), left);
  });
}
BY_TYPE(quant_int,
        (bk_dtype type, int8_t *codes, const void *x, size_t n, float scale, float offset, float low, float high),
        codes, x, n, scale, offset, low, high)

/// The codes of |x|, at most `limit`, in a small float format: `bits` fraction bits, the least normal exponent `least`;
/// ties go to even or away from zero.
FN vi small_float(vf magnitude, int bits, int least, float limit, bool away) {
  magnitude = min_v(magnitude, splat(limit));
  vi exponent = (vi)(as_u(magnitude) >> 23) - 127;
  exponent = exponent > (vi)least ? exponent : (vi)least;
  // Scaled so that one step is 1; both factors are normal.
  vf steps = magnitude * as_f((vu)(((vi)(127 + bits) - exponent) << 23));
  vf whole = away ? __builtin_elementwise_floor(steps + splat(0.5f)) : nearest_even(steps);
  return ((exponent - least) << bits) + __builtin_convertvector(whole, vi);
}
FN vi sign_bit(vf x, int place) { return (vi)(as_u(x) >> 31) << place; }

/// float8 e4m3fn of x / scale, ties to even, saturated.
FN void quant_e4m3_as(bk_dtype type, uint8_t *codes, const void *x, size_t n, float scale) {
  EACH_AS(type, x, n, {
    vf q = round_to(type, v / splat(scale));
    store_bytes(codes + i, small_float(abs_v(q), 3, -6, 448.0f, false) | sign_bit(q, 7), left);
  });
}
BY_TYPE(quant_e4m3, (bk_dtype type, uint8_t *codes, const void *x, size_t n, float scale), codes, x, n, scale)

/// A block of an OCP microscaling format, x / 2^exponent, ties away from zero, saturated; zero has no sign. One code a
/// byte.
FN void quant_mx_as(bk_dtype type, uint8_t *codes, const void *x, size_t n, int exponent, bool is_e2m1) {
  const vf factor = splat(ldexpf(1.0f, -exponent / 2)), rest = splat(ldexpf(1.0f, -(exponent - exponent / 2)));
  EACH_AS(type, x, n, {
    vf q = v * factor * rest;
    vi magnitude = is_e2m1 ? small_float(abs_v(q), 1, 0, 6.0f, true) : small_float(abs_v(q), 3, -6, 448.0f, true);
    vi sign = sign_bit(q, is_e2m1 ? 3 : 7);
    store_bytes(codes + i, magnitude | ((v == splat(0.0f)) ? (vi)0 : sign), left);
  });
}
BY_TYPE(quant_mx, (bk_dtype type, uint8_t *codes, const void *x, size_t n, int exponent, bool is_e2m1), codes, x, n,
        exponent, is_e2m1)
