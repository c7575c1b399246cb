/// Tests of summaries, differences and fingerprints of numbers.
#include "support.h"

static const size_t sizes[] = {4, 2, 2, 2, 2, 4, 4, 8, 8, 8, 1};
static double table[256];

/// The value of element i, plainly.
static double value(bk_number type, const void *p, size_t i) {
  switch (type) {
    case BK_NUMBER_F32: return element(BK_F32, p, i);
    case BK_NUMBER_BF16: return element(BK_BF16, p, i);
    case BK_NUMBER_F16: return element(BK_F16, p, i);
    case BK_NUMBER_I16: return ((const int16_t *)p)[i];
    case BK_NUMBER_U16: return ((const uint16_t *)p)[i];
    case BK_NUMBER_I32: return ((const int32_t *)p)[i];
    case BK_NUMBER_U32: return ((const uint32_t *)p)[i];
    case BK_NUMBER_I64: return (double)((const int64_t *)p)[i];
    case BK_NUMBER_U64: return (double)((const uint64_t *)p)[i];
    case BK_NUMBER_F64: return ((const double *)p)[i];
    default: return table[((const uint8_t *)p)[i]];
  }
}

/// Random numbers of all kinds: plain bits, so that NaN and infinity occur, zeros, and for floats often small ones.
static guarded numbers(bk_number type, size_t n) {
  guarded g = guarded_new(n * sizes[type]);
  for (size_t i = 0; i < n; i++) {
    uint64_t bits = random_below(5) == 0 ? 0 : random_bits();
    float small = random_float(-3, 5);
    double wide = small;
    uint16_t half = float_to_bf16(small);
    if (random_below(3)) {
      if (type == BK_NUMBER_F32) memcpy(&bits, &small, 4);
      if (type == BK_NUMBER_F64) memcpy(&bits, &wide, 8);
      if (type == BK_NUMBER_BF16) bits = half;
      if (type == BK_NUMBER_F16) bits = float_to_f16(small);
    } else if (type == BK_NUMBER_F64) {
      float any;
      memcpy(&any, &bits, 4);
      wide = any;
      memcpy(&bits, &wide, 8);
    }
    memcpy((char *)g.data + i * sizes[type], &bits, sizes[type]);
  }
  return g;
}

static bool close_to(double a, double b, double scale) { return a == b || fabs(a - b) <= 1e-12 * scale; }

static void check_summary(bk_number type, size_t n) {
  guarded g = numbers(type, n);
  bk_summary want = {.least = INFINITY, .greatest = -INFINITY}, got;
  long double sum = 0, squares = 0;
  for (size_t i = 0; i < n; i++) {
    double v = value(type, g.data, i);
    want.zeros += v == 0, want.nans += isnan(v), want.infinities += v == INFINITY;
    want.negative_infinities += v == -INFINITY;
    if (!isfinite(v)) continue;
    want.finite++, sum += v;
    want.least = fmin(want.least, v), want.greatest = fmax(want.greatest, v);
  }
  if (want.finite) want.mean = (double)(sum / want.finite);
  for (size_t i = 0; i < n; i++)
    if (isfinite(value(type, g.data, i))) {
      long double d = (long double)value(type, g.data, i) - sum / (long double)want.finite;
      squares += d * d;
    }
  want.squares = (double)squares;
  bk_summarize(type, table, g.data, n, &got);
  double scale = want.finite ? fmax(fabs(want.least), fabs(want.greatest)) : 0;
  check(got.finite == want.finite && got.zeros == want.zeros && got.nans == want.nans &&
            got.infinities == want.infinities && got.negative_infinities == want.negative_infinities,
        "summarize", "counts of %zu numbers of type %d", n, type);
  check(got.least == want.least && got.greatest == want.greatest, "summarize", "range: type %d", type);
  check(close_to(got.mean, want.mean, scale) && close_to(got.squares, want.squares, want.squares), "summarize",
        "mean %.17g and squares %.17g of %zu numbers of type %d, not %.17g and %.17g", got.mean, got.squares, n, type,
        want.mean, want.squares);
  bk_summary halves[2];
  bk_summarize(type, table, g.data, n / 2, &halves[0]);
  bk_summarize(type, table, (char *)g.data + n / 2 * sizes[type], n - n / 2, &halves[1]);
  bk_summary_add(&halves[0], &halves[1]);
  check(halves[0].finite == want.finite && close_to(halves[0].mean, want.mean, scale) &&
            close_to(halves[0].squares, want.squares, want.squares),
        "summary_add", "type %d", type);
  guarded_free("summarize", g);
}

static void check_difference(bk_number a_type, bk_number b_type, size_t n) {
  guarded a = numbers(a_type, n), b = numbers(b_type, n);
  bk_difference want = {0}, got;
  for (size_t i = 0; i < n; i++) {
    double x = value(a_type, a.data, i), y = value(b_type, b.data, i);
    want.unequal += x != y && !(isnan(x) && isnan(y));
    if (!isfinite(x) || !isfinite(y)) {
      want.mismatched += x != y && !(isnan(x) && isnan(y));
      continue;
    }
    want.finite++;
    want.largest = fmax(want.largest, fabs(x - y)), want.scale = fmax(want.scale, fabs(x));
    want.sum += fabs(x - y), want.aa += x * x, want.bb += y * y, want.ab += x * y;
  }
  bk_compare(a_type, table, a.data, b_type, table, b.data, n, &got);
  check(got.finite == want.finite && got.unequal == want.unequal && got.mismatched == want.mismatched &&
            got.largest == want.largest &&
            got.scale == want.scale && close_to(got.sum, want.sum, want.sum) && close_to(got.aa, want.aa, want.aa) &&
            close_to(got.bb, want.bb, want.bb) && close_to(got.ab, want.ab, sqrt(want.aa * want.bb)),
        "compare", "%zu numbers of types %d and %d", n, a_type, b_type);
  if (a_type == b_type) {
    size_t unequal = 0, size = sizes[a_type];
    for (size_t i = 0; i < n; i++)
      unequal += memcmp((char *)a.data + i * size, (char *)b.data + i * size, size) != 0;
    check(bk_unequal(size, a.data, b.data, n) == unequal, "unequal", "size %zu", size);
  }
  guarded_free("compare", a);
  guarded_free("compare", b);
}

/// The words of an element of 1, 2 or 4 bytes.
static void mixed(uint32_t v, uint32_t *first, uint32_t *second) {
  v ^= 0x5bd1e995u, v ^= v >> 16, v *= 0x7feb352du, v ^= v >> 15, v *= 0x846ca68bu, v ^= v >> 16;
  *first = v;
  v *= 0x9e3779b1u;
  *second = v ^ v >> 15;
}

static void check_fingerprint(size_t size, size_t rows, size_t columns) {
  guarded g = guarded_new(rows * columns * size);
  for (size_t i = 0; i < g.bytes; i++) ((uint8_t *)g.data)[i] = (uint8_t)random_bits();
  uint64_t *got = calloc(rows + 1, 8);
  uint32_t *sums = calloc(2 * columns + 1, 4), *want = calloc(2 * columns + 1, 4);
  bool ok = bk_fingerprint(size, g.data, rows, columns, got, sums) == BK_OK;
  for (size_t r = 0; r < rows; r++) {
    uint32_t row[2] = {0};
    for (size_t c = 0; c < columns; c++) {
      uint64_t bits = 0;
      uint32_t word[2];
      memcpy(&bits, (char *)g.data + (r * columns + c) * size, size);
      bits = size == 8 ? bits * 0x9e3779b97f4a7c15u : bits;
      mixed(size == 8 ? (uint32_t)(bits ^ bits >> 32) : (uint32_t)bits, &word[0], &word[1]);
      for (int k = 0; k < 2; k++) row[k] += word[k], want[(size_t)k * columns + c] += word[k];
    }
    ok = ok && got[r] == ((uint64_t)row[1] << 32 | row[0]);
  }
  check(ok, "fingerprint", "rows of %zu x %zu elements of %zu bytes", rows, columns, size);
  check_same("fingerprint's columns", sums, want, 8 * columns);
  uint64_t *alone = calloc(rows + 1, 8);
  bk_fingerprint(size, g.data, rows, columns, alone, NULL);
  check_same("fingerprint without columns", alone, got, 8 * rows);
  free(got), free(alone), free(sums), free(want);
  guarded_free("fingerprint", g);
}

void test_numbers(void) {
  for (int i = 0; i < 256; i++) table[i] = i == 7 ? (double)NAN : i == 9 ? -(double)INFINITY : (i - 128) * 0.25;
  const uint64_t first = seed;
  for (uint64_t k = 0; k < (quick ? 3 : 12); k++) {
    start_case(first + k);
    for (int type = BK_NUMBER_F32; type <= BK_NUMBER_CODES; type++) {
      const size_t counts[] = {0, 1, 15, 16, 17, 1023, 1024, 1025, 5000 + random_below(100)};
      for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        check_summary((bk_number)type, counts[k]);
        check_difference((bk_number)type, (bk_number)type, counts[k]);
      }
      check_difference((bk_number)type, (bk_number)random_below(11), 3000);
    }
    for (size_t size = 1; size <= 8; size *= 2) check_fingerprint(size, random_below(20), random_below(70));
  }
  check(bk_fingerprint(16, NULL, 0, 0, NULL, NULL) == BK_EARGUMENT, "fingerprint", "16 bytes");
  // All instruction sets give the same bits.
  static bk_summary sums[11];
  static bk_difference apart[11];
  static bool known;
  start_case(first);
  for (int type = BK_NUMBER_F32; type <= BK_NUMBER_CODES; type++) {
    guarded a = numbers((bk_number)type, 3001), b = numbers((bk_number)type, 3001);
    bk_summary sum;
    bk_difference difference;
    bk_summarize((bk_number)type, table, a.data, 3001, &sum);
    bk_compare((bk_number)type, table, a.data, (bk_number)type, table, b.data, 3001, &difference);
    if (known) check_same("summarize", &sum, &sums[type], sizeof sum);
    if (known) check_same("compare", &difference, &apart[type], sizeof difference);
    sums[type] = sum, apart[type] = difference;
    guarded_free("numbers", a);
    guarded_free("numbers", b);
  }
  known = true;
  // Numbers that lie close together far from zero keep their deviation.
  float far[4000];
  bk_summary s;
  for (size_t i = 0; i < 4000; i++) far[i] = 1e6f + (float)(i % 2);
  bk_summarize(BK_NUMBER_F32, NULL, far, 4000, &s);
  check(s.mean == 1000000.5 && fabs(s.squares - 1000) < 1e-9, "summarize", "close numbers: %.17g", s.squares);
}
