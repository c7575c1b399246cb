/// Row-wise and elementwise kernels.

/// Runs STATEMENT over vectors of x[0...n), then once on the rest: `v` holds the input (PAD beyond the end), `i` its
/// index.
#define EACH(x, n, PAD, STATEMENT)            \
  do {                                        \
    size_t i = 0;                             \
    for (; i + VW <= (n); i += VW) {          \
      vf v = load((x) + i);                   \
      const size_t left = VW;                 \
      STATEMENT                               \
    }                                         \
    if (i < (n)) {                            \
      const size_t left = (n) - i;            \
      vf v = load_part((x) + i, left, (PAD)); \
      STATEMENT                               \
    }                                         \
  } while (0)
#define GET(p) (left == VW ? load((p) + i) : load_part((p) + i, left, 0.0f))
#define PUT(p, value)                     \
  do {                                    \
    if (left == VW)                       \
      store((p) + i, (value));            \
    else                                  \
      store_part((p) + i, (value), left); \
  } while (0)

FN float row_max(const float *x, size_t n) {
  vf m = splat(-INFINITY);
  EACH(x, n, -INFINITY, {
    (void)left;
    m = max_v(m, v);
  });
  return max_of(m);
}

/// y = e^(x - shift), returns the sum.
FN float exp_row(float *y, const float *x, float shift, size_t n) {
  vf total = splat(0.0f);
  EACH(x, n, -INFINITY, {
    vf e = exp_v(v - splat(shift));
    PUT(y, e);
    total += e;
  });
  return sum_v(total);
}

static void scale_row(float *y, const float *x, float factor, size_t n) {
  EACH(x, n, 0.0f, { PUT(y, v * splat(factor)); });
}

static void softmax_row(float *y, const float *x, size_t n) {
  float m = row_max(x, n);
  float total = exp_row(y, x, m, n);
  if (m == -INFINITY) total = NAN;
  scale_row(y, y, 1.0f / total, n);
}

static float softmax_step(float *scores, size_t n, float *max, float *sum) {
  float m = row_max(scores, n);
  m = m > *max ? m : *max;
  float before = *max == -INFINITY ? 0.0f : exp_v(splat(*max - m))[0];
  *sum = *sum * before + exp_row(scores, scores, m, n);
  *max = m;
  return before;
}

static float softmax_pytorch(float *scores, size_t n, float *max, float *sum, bool coarse) {
  float m = row_max(scores, n);
  m = m > *max ? m : *max;
  const size_t whole = n / BK_PANEL * BK_PANEL;
  vf lanes[VPP];
  UNROLL for (int v = 0; v < VPP; v++) lanes[v] = splat(0.0f);
  for (size_t i = 0; i < whole; i += BK_PANEL)
    UNROLL for (int v = 0; v < VPP; v++) {
      vf x = load(scores + i + v * VW) - splat(m), e = coarse ? exp_coarse_v(x) : exp_u20_v(x);
      store(scores + i + v * VW, e);
      lanes[v] += e;
    }
  float sums[BK_PANEL];
  UNROLL for (int v = 0; v < VPP; v++) store(sums + v * VW, lanes[v]);
  for (int half = BK_PANEL / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) sums[i] += sums[i + half];
  for (size_t i = whole; i < n; i++) sums[0] += scores[i] = expf(scores[i] - m);
  float before = *max == -INFINITY ? 0.0f : expf(*max - m);
  *sum = fmaf(before, *sum, sums[0]);
  *max = m;
  return before;
}

static void mask_row(float *scores, size_t n, size_t visible, bk_mask kind, const void *mask, ptrdiff_t stride) {
  size_t i = 0;
  if (kind == BK_MASK_BOOL) {
    const uint8_t *keep = mask;
    if (stride == 1)
      for (; i + VW <= n; i += VW) {
        vb k;
        memcpy(&k, keep + i, sizeof k);
        store(scores + i, choose(__builtin_convertvector(k, vi) != 0, load(scores + i), splat(-FLT_MAX)));
      }
    for (; i < n; i++)
      if (!keep[(ptrdiff_t)i * stride]) scores[i] = -FLT_MAX;
  } else if (kind == BK_MASK_F32) {
    const float *add = mask;
    if (stride == 1)
      for (; i + VW <= n; i += VW) {
        vf s = load(scores + i) + load(add + i);
        store(scores + i, choose(s < splat(-FLT_MAX), splat(-FLT_MAX), s));
      }
    for (; i < n; i++) {
      float s = scores[i] + add[(ptrdiff_t)i * stride];
      scores[i] = s < -FLT_MAX ? -FLT_MAX : s;
    }
  }
  for (i = visible; i < n; i++) scores[i] = -FLT_MAX;
}

static void layer_norm_row(float *y, const float *x, const float *gamma, const float *beta, float eps, size_t n) {
  vf s0 = splat(0.0f);
  EACH(x, n, 0.0f, {
    (void)left;
    s0 += v;
  });
  vf mean = splat(sum_v(s0) / (float)n), squares = splat(0.0f);
  EACH(x, n, mean[0], {
    (void)left;
    vf d = v - mean;
    squares = fma_v(d, d, squares);
  });
  vf factor = splat(1.0f / sqrtf(sum_v(squares) / (float)n + eps));
  EACH(x, n, 0.0f, {
    vf r = (v - mean) * factor;
    if (gamma) r *= GET(gamma);
    if (beta) r += GET(beta);
    PUT(y, r);
  });
}

static void rms_norm_row(float *y, const float *x, const float *gamma, float eps, size_t n) {
  vf squares = splat(0.0f);
  EACH(x, n, 0.0f, {
    (void)left;
    squares = fma_v(v, v, squares);
  });
  vf factor = splat(1.0f / sqrtf(sum_v(squares) / (float)n + eps));
  EACH(x, n, 0.0f, {
    vf r = v * factor;
    if (gamma) r *= GET(gamma);
    PUT(y, r);
  });
}

/// Adds x - origin and its square to sums and squares.
static void moments_row(float *sums, float *squares, const float *x, const float *origin, size_t n) {
  EACH(x, n, 0.0f, {
    vf d = v - GET(origin);
    PUT(sums, GET(sums) + d);
    PUT(squares, fma_v(d, d, GET(squares)));
  });
}

/// y = (x - center) * factor + term, and silu of that if asked.
static void affine_row(float *y, const float *x, const float *center, const float *factor, const float *term, bool silu,
                       size_t n) {
  if (silu)
    EACH(x, n, 0.0f, {
      vf r = fma_v(v - GET(center), GET(factor), GET(term));
      PUT(y, silu_v(r));
    });
  else
    EACH(x, n, 0.0f, { PUT(y, fma_v(v - GET(center), GET(factor), GET(term))); });
}

// -------------------------------------------------------------------------------------------------- elementwise

/// sin(x), or cos(x) when `shift` is a half, to 0.61 ulp: x less a multiple of pi and the odd polynomial of degree 9
/// whose relative error on [-pi/2, pi/2] is least, 6e-9, in double precision. So short a polynomial because PyTorch's
/// results, which are MKL's, then are the same to the bit for angles up to 10,000.
static float sine(float x, double shift) {
#pragma clang fp contract(off)
  if (!(fabsf(x) <= 16384.0f)) return shift == 0 ? sinf(x) : cosf(x);
  const double turns = __builtin_rint((double)x * 0x1.45f306dc9c883p-2 - shift), n = turns + shift;
  const double r = ((double)x - n * 0x1.921fb54442d18p+1) - n * 0x1.1a62633145c07p-53, z = r * r;
  double p = -0.00019809602887992583 + z * 2.6057806053443947e-06;
  p = -0.16666659550421373 + z * (0.008333066245904179 + z * p);
  const double y = r + r * z * p;
  return (float)(((long)turns & 1) == (shift == 0) ? -y : y);
}

static int unary_row(bk_unary_op op, float *y, const float *x, size_t n) {
#define CASE(name, expression) \
  case name: EACH(x, n, 1.0f, { PUT(y, expression); }); return BK_OK
  switch (op) {
    CASE(BK_UNARY_RELU, relu_v(v));
    CASE(BK_UNARY_GELU_ERF, gelu_erf_v(v));
    CASE(BK_UNARY_GELU_TANH, gelu_tanh_v(v));
    CASE(BK_UNARY_SILU, silu_v(v));
    CASE(BK_UNARY_SIGMOID, sigmoid_v(v));
    CASE(BK_UNARY_TANH, tanh_v(v));
    CASE(BK_UNARY_EXP, exp_v(v));
    CASE(BK_UNARY_ERF, erf_v(v));
    CASE(BK_UNARY_NEG, -v);
    CASE(BK_UNARY_ABS, abs_v(v));
    CASE(BK_UNARY_SQRT, __builtin_elementwise_sqrt(v));
    CASE(BK_UNARY_RSQRT, splat(1.0f) / __builtin_elementwise_sqrt(v));
    CASE(BK_UNARY_RECIPROCAL, splat(1.0f) / v);
    case BK_UNARY_LOG:
      for (size_t i = 0; i < n; i++) y[i] = logf(x[i]);
      return BK_OK;
    case BK_UNARY_SIN:
      for (size_t i = 0; i < n; i++) y[i] = sine(x[i], 0.0);
      return BK_OK;
    case BK_UNARY_COS:
      for (size_t i = 0; i < n; i++) y[i] = sine(x[i], 0.5);
      return BK_OK;
  }
#undef CASE
  return BK_EARGUMENT;
}

/// The greater (smaller), NaN if either is.
FN vf max_nan(vf a, vf b) { return choose((a > b) | (a != a), a, b); }
FN vf min_nan(vf a, vf b) { return choose((a < b) | (a != a), a, b); }

static void binary_row(bk_binary_op op, float *out, const float *a, bool a_scalar, const float *b, bool b_scalar,
                       size_t n) {
  if (n == 0) return;
  if (op == BK_BINARY_POW) {
    for (size_t i = 0; i < n; i++) out[i] = powf(a[a_scalar ? 0 : i], b[b_scalar ? 0 : i]);
    return;
  }
  const vf sa = splat(a[0]), sb = splat(b[0]);
#define LOOP(expression)                                              \
  if (a_scalar)                                                       \
    EACH(b, n, 1.0f, {                                                \
      vf w = v;                                                       \
      v = sa;                                                         \
      PUT(out, expression);                                           \
    });                                                               \
  else if (b_scalar)                                                  \
    EACH(a, n, 1.0f, {                                                \
      vf w = sb;                                                      \
      PUT(out, expression);                                           \
    });                                                               \
  else                                                                \
    EACH(a, n, 1.0f, {                                                \
      vf w = left == VW ? load(b + i) : load_part(b + i, left, 1.0f); \
      PUT(out, expression);                                           \
    });                                                               \
  break
  switch (op) {
    case BK_BINARY_ADD: LOOP(v + w);
    case BK_BINARY_SUB: LOOP(v - w);
    case BK_BINARY_MUL: LOOP(v * w);
    case BK_BINARY_DIV: LOOP(v / w);
    case BK_BINARY_MAX: LOOP(max_nan(v, w));
    case BK_BINARY_MIN: LOOP(min_nan(v, w));
    default: break;
  }
#undef LOOP
}

static void swiglu_row(float *out, const float *gate, const float *up, size_t n) {
  EACH(gate, n, 0.0f, { PUT(out, silu_v(v) * GET(up)); });
}

static void rotary_row(float *out, const float *x, const float *cos, const float *sin, size_t rotated,
                       bool interleaved) {
  size_t half = rotated / 2, i = 0;
  if (interleaved) {
    for (; i < half; i++) {
      float p = x[2 * i], q = x[2 * i + 1];
      out[2 * i] = p * cos[2 * i] - q * sin[2 * i];
      out[2 * i + 1] = q * cos[2 * i + 1] + p * sin[2 * i + 1];
    }
    return;
  }
  for (; i + VW <= half; i += VW) {
    vf p = load(x + i), q = load(x + half + i);
    store(out + i, p * load(cos + i) - q * load(sin + i));
    store(out + half + i, q * load(cos + half + i) + p * load(sin + half + i));
  }
  for (; i < half; i++) {
    float p = x[i], q = x[half + i];
    out[i] = p * cos[i] - q * sin[i];
    out[half + i] = q * cos[half + i] + p * sin[half + i];
  }
}

// --------------------------------------------------------------------------------------------------- conversion

/// Whole vectors, then the rest through a padded one.
#define CONVERT(name, dst_type, src_type, LOAD, STORE)                                            \
  static void name(void *dst, const void *src, size_t n) {                                        \
    char *d = dst;                                                                                \
    const char *s = src;                                                                          \
    size_t i = 0;                                                                                 \
    for (; i + VW <= n; i += VW) STORE(d + i * sizeof(dst_type), LOAD(s + i * sizeof(src_type))); \
    if (i < n) {                                                                                  \
      src_type in[VW] = {0};                                                                      \
      dst_type out[VW];                                                                           \
      memcpy(in, s + i * sizeof(src_type), (n - i) * sizeof(src_type));                           \
      STORE(out, LOAD(in));                                                                       \
      memcpy(d + i * sizeof(dst_type), out, (n - i) * sizeof(dst_type));                          \
    }                                                                                             \
  }
#define STORE_BF16(p, v) storeh(p, narrow_bf16(v))
CONVERT(f32_to_bf16, uint16_t, float, load, STORE_BF16)
CONVERT(f32_to_f16, uint16_t, float, load, store_f16)
CONVERT(bf16_to_f32, float, uint16_t, load_bf16, store)
CONVERT(f16_to_f32, float, uint16_t, load_f16, store)

// ------------------------------------------------------------------------------------------------------- probes

static float probe_read(const void *data, size_t bytes) {
  const char *p = data;
  vf s[8];
  UNROLL for (int j = 0; j < 8; j++) s[j] = splat(0.0f);
  for (size_t i = 0; i + sizeof s <= bytes; i += sizeof s)
    UNROLL for (int j = 0; j < 8; j++) s[j] += load(p + i + (size_t)j * sizeof(vf));
  vf t = splat(0.0f);
  UNROLL for (int j = 0; j < 8; j++) t += s[j];
  return sum_v(t);
}

static double probe_fma(size_t iterations) {
  enum { CHAINS = BK_MR * BK_NP * VPP };
  vf acc[CHAINS];
  UNROLL for (int j = 0; j < CHAINS; j++) acc[j] = splat((float)j);
  vf a = splat(0.999f), b = splat(0.001f);
  for (size_t i = 0; i < iterations; i++) {
    __asm__ volatile("" ::: "memory");
    UNROLL for (int j = 0; j < CHAINS; j++) acc[j] = fma_v(acc[j], a, b);
  }
  vf t = splat(0.0f);
  UNROLL for (int j = 0; j < CHAINS; j++) t += acc[j];
  volatile float keep = sum_v(t);
  (void)keep;
  return (double)iterations * CHAINS * VW * 2;
}
