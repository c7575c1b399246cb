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

/// A small float format: fraction bits, the least normal exponent, the greatest value.
typedef struct {
  int bits, least;
  float limit;
} small_format;
FN small_format small_e4m3(void) { return (small_format){3, -6, 448.0f}; }
FN small_format small_e2m1(void) { return (small_format){1, 0, 6.0f}; }

/// |x| as a whole number of steps of its exponent, of a format; ties go to even or away from zero.
FN vf small_steps(vf magnitude, small_format f, bool away, vi *exponent) {
  magnitude = min_v(magnitude, splat(f.limit));
  vi e = (vi)(as_u(magnitude) >> 23) - 127;
  *exponent = e > (vi)f.least ? e : (vi)f.least;
  // Scaled so that one step is 1; both factors are normal.
  vf steps = magnitude * as_f((vu)(((vi)(127 + f.bits) - *exponent) << 23));
  return away ? __builtin_elementwise_floor(steps + splat(0.5f)) : nearest_even(steps);
}
/// The codes of |x|.
FN vi small_float(vf magnitude, small_format f, bool away) {
  vi exponent;
  vf steps = small_steps(magnitude, f, away, &exponent);
  return ((exponent - f.least) << f.bits) + __builtin_convertvector(steps, vi);
}
FN vi sign_bit(vf x, int place) { return (vi)(as_u(x) >> 31) << place; }

/// Lanes to doubles in order, so that sums are the same on every instruction set.
FN void add_lanes(double sums[16], vf v, size_t i) {
  float lanes[VW];
  store(lanes, v);
  for (int k = 0; k < VW; k++) sums[(i + (size_t)k) % 16] += (double)lanes[k];
}
FN double sum_lanes(const double sums[16]) {
  double sum = 0;
  for (int k = 0; k < 16; k++) sum += sums[k];
  return sum;
}

/// A sum of n floats in the order of PyTorch's CPU kernel: 32 chains, whose sums are added up in levels. Source:
/// PyTorch 2.15, SumKernel.cpp.
typedef struct {
  float chains[4][32], rest[32];
  size_t whole, n, step, power;
} cascade;

static cascade cascade_of(size_t n) {
  cascade s = {.whole = n / 32 * 32, .n = n, .power = 4};
  size_t logarithm = 0;
  while (((size_t)1 << logarithm) < n / 32) logarithm++;
  s.power = bk_max(s.power, logarithm / 4);
  return s;
}

/// The next VW values, from the i-th on.
FN void cascade_add(cascade *s, size_t i, vf v) {
  if (i >= s->whole) {
    store(s->rest + (i - s->whole), v);
    return;
  }
  float *first = s->chains[0] + i % 32;
  store(first, load(first) + v);
  if ((i + VW) % 32 != 0) return;
  s->step++;
  const size_t span = (size_t)1 << s->power;
  for (size_t level = 1; level < 4 && (s->step & ((span << ((level - 1) * s->power)) - 1)) == 0; level++)
    for (int c = 0; c < 32; c++) {
      s->chains[level][c] += s->chains[level - 1][c];
      s->chains[level - 1][c] = 0;
    }
}

static float cascade_sum(cascade *s) {
#pragma clang fp contract(off)
  float *first = s->chains[0], sum = 0;
  for (int level = 1; level < 4; level++)
    for (int c = 0; c < 32; c++) first[c] += s->chains[level][c];
  const size_t left = s->n - s->whole, width = s->n < 8 ? 1 : 8, vectors = s->n < 8 ? left : left / 8;
  if (s->n < 8) {
    // Single numbers take the place of vectors.
    for (size_t i = 0; i < left / 4 * 4; i++) first[i] += s->rest[i];
    for (size_t i = left / 4 * 4; i < left; i++) first[0] += s->rest[i];
  } else {
    for (size_t i = 0; i < vectors * width; i++) first[i % 8] += s->rest[i];
  }
  for (size_t chain = 1; chain < 4; chain++)
    for (size_t lane = 0; lane < width; lane++) first[lane] += first[chain * width + lane];
  for (size_t i = vectors * width; i < left; i++) sum += s->rest[i];
  for (size_t lane = 0; lane < width; lane++) sum += first[lane];
  return sum;
}

/// How well codes of this scale stand for a row: sums of x * code, code * code and (x - code * scale)^2. Products are
/// rounded to the type, the error is not. Of float32 the order of sums is PyTorch's.
FN void quant_fit_as(bk_dtype type, const void *x, size_t n, float scale, float low, float high, double sums[3]) {
  if (type == BK_F32) {
    cascade of[3] = {cascade_of(n), cascade_of(n), cascade_of(n)};
    EACH_AS(type, x, n, {
      (void)left;
      vf q = nearest_even(min_v(max_v(v / splat(scale), splat(low)), splat(high)));
      vf back = q * splat(scale);
      vf error = v - back;
      cascade_add(&of[0], i, v * q);
      cascade_add(&of[1], i, q * q);
      cascade_add(&of[2], i, error * error);
    });
    for (int k = 0; k < 3; k++) sums[k] = cascade_sum(&of[k]);
    return;
  }
  double products[16] = {0}, squares[16] = {0}, errors[16] = {0};
  EACH_AS(type, x, n, {
    vf q = nearest_even(min_v(max_v(round_to(type, v / splat(scale)), splat(low)), splat(high)));
    vf error = v - round_to(type, q * splat(scale));
    add_lanes(products, round_to(type, v * q), i);
    add_lanes(squares, round_to(type, q * q), i);
    add_lanes(errors, error * error, i);
  });
  sums[0] = sum_lanes(products);
  sums[1] = sum_lanes(squares);
  sums[2] = sum_lanes(errors);
}
BY_TYPE(quant_fit, (bk_dtype type, const void *x, size_t n, float scale, float low, float high, double sums[3]), x, n,
        scale, low, high, sums)

/// float8 e4m3fn of x / scale, ties to even, saturated.
FN void quant_e4m3_as(bk_dtype type, uint8_t *codes, const void *x, size_t n, float scale) {
  EACH_AS(type, x, n, {
    vf q = round_to(type, v / splat(scale));
    store_bytes(codes + i, small_float(abs_v(q), small_e4m3(), false) | sign_bit(q, 7), left);
  });
}
BY_TYPE(quant_e4m3, (bk_dtype type, uint8_t *codes, const void *x, size_t n, float scale), codes, x, n, scale)

/// A block of an OCP microscaling format, x / 2^exponent, ties away from zero, saturated; zero has no sign. One code a
/// byte.
FN void quant_mx_as(bk_dtype type, uint8_t *codes, const void *x, size_t n, int exponent, bool is_e2m1) {
  const vf factor = splat(ldexpf(1.0f, -exponent / 2)), rest = splat(ldexpf(1.0f, -(exponent - exponent / 2)));
  EACH_AS(type, x, n, {
    vf q = v * factor * rest;
    vi magnitude = small_float(abs_v(q), is_e2m1 ? small_e2m1() : small_e4m3(), true);
    vi sign = sign_bit(q, is_e2m1 ? 3 : 7);
    store_bytes(codes + i, magnitude | ((v == splat(0.0f)) ? (vi)0 : sign), left);
  });
}
BY_TYPE(quant_mx, (bk_dtype type, uint8_t *codes, const void *x, size_t n, int exponent, bool is_e2m1), codes, x, n,
        exponent, is_e2m1)

/// The sum of squares of what such a block gets wrong, differences and squares rounded to the type.
FN void quant_mx_error_as(bk_dtype type, const void *x, size_t n, int exponent, bool is_e2m1, double *sum) {
  const vf factor = splat(ldexpf(1.0f, -exponent / 2)), rest = splat(ldexpf(1.0f, -(exponent - exponent / 2)));
  const vf back = splat(ldexpf(1.0f, exponent / 2)), forth = splat(ldexpf(1.0f, exponent - exponent / 2));
  const small_format f = is_e2m1 ? small_e2m1() : small_e4m3();
  double sums[16] = {0};
  EACH_AS(type, x, n, {
    vi power;
    vf steps = small_steps(abs_v(v * factor * rest), f, true, &power);
    vf value = steps * as_f((vu)((power + (127 - f.bits)) << 23)) * back * forth;
    vf error = round_to(type, v - round_to(type, sign_of(value, v)));
    add_lanes(sums, round_to(type, error * error), i);
  });
  *sum = sum_lanes(sums);
}
BY_TYPE(quant_mx_error, (bk_dtype type, const void *x, size_t n, int exponent, bool is_e2m1, double *sum), x, n,
        exponent, is_e2m1, sum)
