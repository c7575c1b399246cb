/// Rows quantized when a model runs, products of their codes with those of weights, and codes widened.

/// The largest magnitude; NaN or infinity where there is one.
static float magnitude_row(const float *x, size_t n) {
  vi most = (vi)0;
  for (size_t i = 0; i < n; i += VW) {
    vi bits = (vi)as_u(abs_v(n - i < VW ? load_part(x + i, n - i, 0.0f) : load(x + i)));
    most = bits > most ? bits : most;
  }
  int32_t best = 0;
  for (int k = 0; k < VW; k++) best = most[k] > best ? most[k] : best;
  float result;
  memcpy(&result, &best, sizeof result);
  return result;
}

/// round(x * factor + offset), or x / factor, between low and high; NaN gives 0. With `half` each operation is rounded
/// to float16.
static void codes_row(int8_t *codes, const float *x, size_t n, float factor, bool divides, float offset, bool half,
                      float low, float high) {
  for (size_t i = 0; i < n; i += VW) {
    const size_t left = n - i < VW ? n - i : VW;
    vf v = left < VW ? load_part(x + i, left, 0.0f) : load(x + i);
    vf q = divides ? v / splat(factor) : v * splat(factor);
    if (half) q = round_to(BK_F16, q);
    if (offset != 0.0f) q = q + splat(offset);
    if (half) q = round_to(BK_F16, q);
    q = choose(q == q, q, splat(0.0f));
    q = min_v(max_v(q, splat(low)), splat(high));
    store_bytes(codes + i, __builtin_convertvector(nearest_even(q), vi), left);
  }
}

/// (code + offset) * scale, rounded to a type.
static void widen_i8(bk_dtype type, float *y, const int8_t *codes, size_t n, float scale, float offset) {
  typedef int8_t vc __attribute__((ext_vector_type(VW)));
  for (size_t i = 0; i < n; i += VW) {
    const size_t left = n - i < VW ? n - i : VW;
    vc c = (vc)0;
    memcpy(&c, codes + i, left);
    vf v = __builtin_convertvector(c, vf) + splat(offset);
    v = round_to(type, v * splat(scale));
    if (left < VW) store_part(y + i, v, left);
    else store(y + i, v);
  }
}

/// float8 e4m3fn codes times a factor.
static void widen_e4m3(float *y, const uint8_t *codes, size_t n, float factor) {
  for (size_t i = 0; i < n; i += VW) {
    const size_t left = n - i < VW ? n - i : VW;
    vb c = (vb)0;
    memcpy(&c, codes + i, left);
    vu u = __builtin_convertvector(c, vu), magnitude = u & 0x7fu;
    vf v = as_f(magnitude << 20) * splat(0x1p120f) * splat(factor);
    v = choose((vi)(magnitude == 0x7fu), splat(NAN), v);
    v = as_f(as_u(v) | (u & 0x80u) << 24);
    if (left < VW) store_part(y + i, v, left);
    else store(y + i, v);
  }
}

/// float4 e2m1 codes, two a byte, the first in the low half, times a factor; n is even.
static void widen_e2m1(float *y, const uint8_t *codes, size_t n, float factor) {
  for (size_t i = 0; i < n; i += VW) {
    const size_t left = n - i < VW ? n - i : VW;
    uint8_t single[VW] = {0};
    for (size_t k = 0; k < left; k += 2) {
      single[k] = codes[(i + k) / 2] & 15;
      single[k + 1] = codes[(i + k) / 2] >> 4;
    }
    vb c;
    memcpy(&c, single, sizeof c);
    vu u = __builtin_convertvector(c, vu);
    vf v = as_f((u & 7u) << 22) * splat(0x1p126f) * splat(factor);
    v = as_f(as_u(v) | (u & 8u) << 28);
    if (left < VW) store_part(y + i, v, left);
    else store(y + i, v);
  }
}

// -------------------------------------------------------------------------------------- products of whole numbers

#if defined(BK_VNNI)

/// Bytes to `left` of 64, zeros behind.
FN __m512i bytes_at(const void *p, size_t left) {
  return left >= 64 ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi8((1ull << left) - 1, p);
}

FN int32_t sum_i8(const int8_t *x, size_t k) {
  __m512i sum = _mm512_setzero_si512();
  for (size_t i = 0; i < k; i += 64) sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(1), bytes_at(x + i, k - i));
  return _mm512_reduce_add_epi32(sum);
}

/// Weights are taken as unsigned, 128 too large, and so the products 128 times the sum of x.
FN void tile_i8(int rows, int columns, size_t k, const int8_t *x, size_t ldx, const int8_t *w, size_t ldw, int32_t *c,
                size_t ldc, const int32_t *sums) {
  __m512i acc[4][8], a[4];
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int j = 0; j < columns; j++) acc[r][j] = _mm512_setzero_si512();
  for (size_t i = 0; i < k; i += 64) {
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) a[r] = bytes_at(x + (size_t)r * ldx + i, k - i);
#pragma clang loop unroll(full)
    for (int j = 0; j < columns; j++) {
      const __m512i b = _mm512_xor_si512(bytes_at(w + (size_t)j * ldw + i, k - i), _mm512_set1_epi8((char)0x80));
#pragma clang loop unroll(full)
      for (int r = 0; r < rows; r++) acc[r][j] = _mm512_dpbusd_epi32(acc[r][j], b, a[r]);
    }
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int j = 0; j < columns; j++)
      c[(size_t)r * ldc + (size_t)j] =
          (int32_t)((uint32_t)_mm512_reduce_add_epi32(acc[r][j]) - 128u * (uint32_t)sums[r]);
}

/// The same with pairs of rows in the halves of bytes, 8 too large.
FN void tile_i4(int rows, int pairs, size_t k, const int8_t *x, size_t ldx, const uint8_t *w, size_t ldw, int32_t *c,
                size_t ldc, const int32_t *sums) {
  const __m512i low = _mm512_set1_epi8(15), eight = _mm512_set1_epi8(8);
  __m512i acc[4][8], a[4];
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int j = 0; j < 2 * pairs; j++) acc[r][j] = _mm512_setzero_si512();
  for (size_t i = 0; i < k; i += 64) {
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) a[r] = bytes_at(x + (size_t)r * ldx + i, k - i);
#pragma clang loop unroll(full)
    for (int p = 0; p < pairs; p++) {
      const __m512i both = bytes_at(w + (size_t)p * ldw + i, k - i);
      const __m512i even = _mm512_xor_si512(_mm512_and_si512(both, low), eight);
      const __m512i odd = _mm512_xor_si512(_mm512_and_si512(_mm512_srli_epi16(both, 4), low), eight);
#pragma clang loop unroll(full)
      for (int r = 0; r < rows; r++) {
        acc[r][2 * p] = _mm512_dpbusd_epi32(acc[r][2 * p], even, a[r]);
        acc[r][2 * p + 1] = _mm512_dpbusd_epi32(acc[r][2 * p + 1], odd, a[r]);
      }
    }
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int j = 0; j < 2 * pairs; j++)
      c[(size_t)r * ldc + (size_t)j] = _mm512_reduce_add_epi32(acc[r][j]) - 8 * sums[r];
}

static void dots_i8(size_t rows, size_t n, size_t k, const int8_t *x, size_t ldx, const void *weight, size_t ldw,
                    int32_t *c, size_t ldc) {
  const int8_t *w = weight;
  for (size_t r = 0; r < rows;) {
    const size_t count = rows - r >= 4 ? 4 : 1;
    int32_t sums[4];
    for (size_t q = 0; q < count; q++) sums[q] = sum_i8(x + (r + q) * ldx, k);
    const int8_t *a = x + r * ldx;
    int32_t *out = c + r * ldc;
    size_t j = 0;
    if (count == 4)
      for (; j + 4 <= n; j += 4) tile_i8(4, 4, k, a, ldx, w + j * ldw, ldw, out + j, ldc, sums);
    else
      for (; j + 8 <= n; j += 8) tile_i8(1, 8, k, a, ldx, w + j * ldw, ldw, out + j, ldc, sums);
    for (; j < n; j++)
      for (size_t q = 0; q < count; q++)
        tile_i8(1, 1, k, a + q * ldx, ldx, w + j * ldw, ldw, out + q * ldc + j, ldc, sums + q);
    r += count;
  }
}

static void dots_i4(size_t rows, size_t n, size_t k, const int8_t *x, size_t ldx, const void *weight, size_t ldw,
                    int32_t *c, size_t ldc) {
  const uint8_t *w = weight;
  for (size_t r = 0; r < rows;) {
    const size_t count = rows - r >= 4 ? 4 : 1, pairs = n / 2;
    int32_t sums[4];
    for (size_t q = 0; q < count; q++) sums[q] = sum_i8(x + (r + q) * ldx, k);
    const int8_t *a = x + r * ldx;
    int32_t *out = c + r * ldc;
    size_t p = 0;
    if (count == 4)
      for (; p + 2 <= pairs; p += 2) tile_i4(4, 2, k, a, ldx, w + p * ldw, ldw, out + 2 * p, ldc, sums);
    else
      for (; p + 4 <= pairs; p += 4) tile_i4(1, 4, k, a, ldx, w + p * ldw, ldw, out + 2 * p, ldc, sums);
    for (; p < pairs; p++)
      for (size_t q = 0; q < count; q++)
        tile_i4(1, 1, k, a + q * ldx, ldx, w + p * ldw, ldw, out + q * ldc + 2 * p, ldc, sums + q);
    r += count;
  }
}

#else

#if defined(__x86_64__) && VW >= 8
/// Products of 16 numbers of eight bits each, in pairs; the sums of what is left are added one by one.
FN int32_t dot_i8(size_t k, const int8_t *x, const int8_t *w) {
  __m256i sum = _mm256_setzero_si256();
  size_t i = 0;
  for (; i + 16 <= k; i += 16) {
    const __m256i a = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(x + i)));
    const __m256i b = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(w + i)));
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
  }
  int32_t lanes[8], total = 0;
  memcpy(lanes, &sum, sizeof lanes);
  for (int l = 0; l < 8; l++) total += lanes[l];
  for (; i < k; i++) total += x[i] * w[i];
  return total;
}
#else
FN int32_t dot_i8(size_t k, const int8_t *x, const int8_t *w) {
  int32_t total = 0;
  for (size_t i = 0; i < k; i++) total += x[i] * w[i];
  return total;
}
#endif

static void dots_i8(size_t rows, size_t n, size_t k, const int8_t *x, size_t ldx, const void *weight, size_t ldw,
                    int32_t *c, size_t ldc) {
  const int8_t *w = weight;
  for (size_t r = 0; r < rows; r++)
    for (size_t j = 0; j < n; j++) c[r * ldc + j] = dot_i8(k, x + r * ldx, w + j * ldw);
}

/// Halves of bytes are spread to bytes, some at a time.
static void dots_i4(size_t rows, size_t n, size_t k, const int8_t *x, size_t ldx, const void *weight, size_t ldw,
                    int32_t *c, size_t ldc) {
  enum { PIECE = 512 };
  const uint8_t *w = weight;
  for (size_t p = 0; p < n / 2; p++) {
    for (size_t i = 0; i < k || i == 0; i += PIECE) {
      const size_t count = k - i < PIECE ? k - i : PIECE;
      int8_t even[PIECE], odd[PIECE];
      for (size_t j = 0; j < count; j++) {
        const uint8_t both = w[p * ldw + i + j];
        even[j] = (int8_t)(((both & 15) ^ 8) - 8);
        odd[j] = (int8_t)((both >> 4 ^ 8) - 8);
      }
      for (size_t r = 0; r < rows; r++) {
        int32_t *out = c + r * ldc + 2 * p;
        out[0] = (i ? out[0] : 0) + dot_i8(count, x + r * ldx + i, even);
        out[1] = (i ? out[1] : 0) + dot_i8(count, x + r * ldx + i, odd);
      }
    }
  }
}

#endif
