/// Tests of the pool, conversion and copies.
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>

// ---------------------------------------------------------------------------------------------------------- pool

typedef struct {
  atomic_int hits[1000];
  bk_pool *pool;
  atomic_int nested;
} pool_case;

static void nested_hit(void *ctx, size_t begin, size_t end) {
  atomic_fetch_add(&((pool_case *)ctx)->nested, (int)(end - begin));
}
static void hit(void *ctx, size_t begin, size_t end) {
  pool_case *c = ctx;
  for (size_t i = begin; i < end; i++) atomic_fetch_add(&c->hits[i], 1);
  if (begin == 0) bk_pool_run(c->pool, 10, 3, nested_hit, c);
}
static void *run_often(void *ctx) {
  pool_case *c = ctx;
  for (int i = 0; i < 200; i++) bk_pool_run(c->pool, 1000, 7, hit, c);
  return NULL;
}

void test_pool(void) {
  bk_pool *four = bk_pool_create(4);
  bk_pool_set_spin(four, 0);
  for (int p = 0; p < 5; p++) {
    static const size_t counts[] = {0, 1, 2, 999, 1000};
    bk_pool *pool = p == 4 ? four : pools[p];
    for (size_t c = 0; c < 5; c++)
      for (size_t grain = 0; grain < 1200; grain = grain * 3 + 1) {
        pool_case k = {.pool = pool};
        bk_pool_run(pool, counts[c], grain, hit, &k);
        bool ok = atomic_load(&k.nested) == (counts[c] ? 10 : 0);
        for (size_t i = 0; i < 1000; i++) ok = ok && atomic_load(&k.hits[i]) == (i < counts[c]);
        check(ok, "pool_run", "%zu items by %zu on %d threads", counts[c], grain, bk_pool_threads(pool));
      }
  }
  static pool_case shared;
  shared = (pool_case){.pool = four};
  pthread_t other;
  pthread_create(&other, NULL, run_often, &shared);
  run_often(&shared);
  pthread_join(other, NULL);
  bool ok = true;
  for (size_t i = 0; i < 1000; i++) ok = ok && atomic_load(&shared.hits[i]) == 400;
  check(ok, "pool_run", "two callers at once");
  bk_pool_destroy(four);
  bk_pool_destroy(NULL);
  check(bk_pool_threads(NULL) == 1, "pool_threads", "NULL");
}

// ------------------------------------------------------------------------------------------------------- convert

/// Narrows `n` floats on the current instruction set and compares with the reference bit by bit.
static void check_narrow(const float *in, size_t n) {
  uint16_t *out = malloc(n * 2);
  for (int type = BK_BF16; type <= BK_F16; type++) {
    bk_convert(pools[2], type, out, BK_F32, in, n);
    size_t bad = n;
    for (size_t i = 0; i < n && bad == n; i++)
      if (out[i] != (type == BK_BF16 ? float_to_bf16(in[i]) : float_to_f16(in[i]))) bad = i;
    uint32_t u = 0;
    if (bad < n) memcpy(&u, in + bad, 4);
    check(bad == n, type == BK_BF16 ? "f32 to bf16" : "f32 to f16", "%08x gives %04x", u, bad < n ? out[bad] : 0);
  }
  free(out);
}

void test_convert(void) {
  static uint16_t halves[65536], back[65536];
  static float wide[65536];
  for (size_t i = 0; i < 65536; i++) halves[i] = (uint16_t)i;
  for (int type = BK_BF16; type <= BK_F16; type++) {
    bk_convert(NULL, BK_F32, wide, type, halves, 65536);
    bool ok = true, same = true;
    bk_convert(NULL, type, back, BK_F32, wide, 65536);
    for (size_t i = 0; i < 65536; i++) {
      double want = element(type, halves, i);
      uint32_t u;
      memcpy(&u, &wide[i], 4);
      bool nan = isnan(want);
      if (nan && type == BK_F16)
        ok = ok && u == (((uint32_t)i & 0x8000) << 16 | 0x7fc00000 | ((uint32_t)i & 0x3ff) << 13);
      else if (type == BK_BF16)
        ok = ok && u == (uint32_t)i << 16;
      else
        ok = ok && (double)wide[i] == want && signbit(wide[i]) == (i >> 15 != 0);
      same = same && back[i] == (nan ? i | (type == BK_F16 ? 0x200 : 0x40) : i);
    }
    check(ok, type == BK_BF16 ? "bf16 to f32" : "f16 to f32", "a pattern differs");
    check(same, type == BK_BF16 ? "bf16 round trip" : "f16 round trip", "a pattern differs");
  }
  const size_t edges = 65536 * 8, randoms = quick ? 200000 : 10000000;
  float *in = malloc((edges > randoms ? edges : randoms) * 4);
  for (size_t i = 0; i < edges; i++) {  // all leading halves with the trailing halves where rounding changes
    static const uint32_t low[8] = {0, 1, 0x0fff, 0x1000, 0x1001, 0x7fff, 0x8000, 0x8001};
    uint32_t u = (uint32_t)(i / 8) << 16 | low[i % 8];
    memcpy(in + i, &u, 4);
  }
  check_narrow(in, edges);
  for (size_t i = 0; i < randoms; i++) {
    uint32_t u = (uint32_t)random_bits();
    if (i % 2) u = (u & 0x807fffffu) | (uint32_t)(96 + random_below(50)) << 23;  // the range of f16
    memcpy(in + i, &u, 4);
  }
  check_narrow(in, randoms);
  free(in);
  for (int n = 0; n < 100; n++) {  // unaligned, all tails, all pairs
    for (int pair = 0; pair < 9; pair++) {
      bk_dtype from = pair / 3, to = pair % 3;
      guarded a = guarded_elements(from, (size_t)n, -9, 9), s = guarded_new(a.bytes + 1),
              d = guarded_new((size_t)n * bk_dtype_size(to) + 1);
      memcpy((char *)s.data + 1, a.data, a.bytes);
      bk_convert(NULL, to, (char *)d.data + 1, from, (char *)s.data + 1, (size_t)n);
      bool ok = *(char *)d.data == 0;
      for (size_t i = 0; i < (size_t)n; i++) {
        float v = (float)element(from, a.data, i), want = to == BK_F32    ? v
                                                          : to == BK_BF16 ? bf16_to_float(float_to_bf16(v))
                                                                          : (float)f16_value(float_to_f16(v));
        ok = ok && (float)element(to, (char *)d.data + 1, i) == want;
      }
      check(ok, "convert", "types %d to %d, %d elements, unaligned", from, to, n);
      guarded_free("convert", a);
      guarded_free("convert", s);
      guarded_free("convert", d);
    }
  }
}

// ---------------------------------------------------------------------------------------------------------- cast

/// The counts of a value that was x and is y now.
static void count_cast(bk_cast_counts *counts, bk_dtype to, double x, double y) {
  if (isnan(x)) counts->nan++;
  if (isnan(x) || x == y) return;
  counts->changed++;
  if (isinf(y)) {
    counts->overflowed++;
    return;
  }
  if (y == 0) counts->underflowed++;
  int exponent;
  frexp(x, &exponent);
  const int least = to == BK_F16 ? -14 : -126, fraction = to == BK_F32 ? 23 : to == BK_F16 ? 10 : 7;
  if (--exponent < least) exponent = least;
  const uint64_t units = (uint64_t)floor(ldexp(fabs(x - y), fraction - exponent + 24));
  counts->units += units;
  if (units > counts->largest) counts->largest = (uint32_t)units;
}

static void check_cast(int from, bk_dtype to, const void *in, size_t n) {
  const size_t size = bk_dtype_size(to);
  guarded out = guarded_new(n * size), same = guarded_new(n * size);
  bk_cast_counts counts = {0}, want = {0};
  if (from < 0)
    bk_cast_f64(to, out.data, in, n, &counts);
  else
    bk_cast(to, out.data, from, in, n, &counts);
  bool ok = true;
  for (size_t i = 0; i < n; i++) {
    double x;
    if (from < 0)
      memcpy(&x, (const char *)in + i * 8, 8);
    else
      x = element(from, in, i);
    const double y = element(to, out.data, i);
    count_cast(&want, to, x, y);
    if (from < 0 && to == BK_F32) ok = ok && (isnan(x) ? isnan(y) : y == (double)(float)x);
    if (from < 0 && to != BK_F32) {
      // No value of the type is nearer, and of two as near ones this one is even.
      uint16_t h;
      memcpy(&h, (char *)out.data + i * 2, 2);
      const uint16_t next = (uint16_t)(h + 1), last = (uint16_t)(h - 1);
      if (!isnan(x) && !isinf(y) && (h & 0x7fff) != 0) {
        const double up = element(to, &next, 0), down = element(to, &last, 0), own = fabs(x - y);
        const double limit = to == BK_F16 ? 65536 : ldexp(1, 128);
        const double far_up = isinf(up) ? fabs(fabs(x) - limit) : fabs(x - up);
        ok = ok && (own < far_up || (own == far_up && !(h & 1)));
        ok = ok && (own < fabs(x - down) || (own == fabs(x - down) && !(h & 1)));
      }
    }
  }
  if (from >= 0) {
    bk_convert(NULL, to, same.data, from, in, n);
    check_same("cast", out.data, same.data, n * size);
  }
  check(ok, "cast from f64", "to type %d: not the nearest", to);
  check(memcmp(&counts, &want, sizeof counts) == 0 || from == (int)to, "cast",
        "types %d to %d, %zu elements: %llu changed (%llu), %llu overflowed (%llu), %llu to zero (%llu), "
        "%llu nan (%llu), "
        "%llu units (%llu), largest %u (%u)",
        from, to, n, (unsigned long long)counts.changed, (unsigned long long)want.changed,
        (unsigned long long)counts.overflowed, (unsigned long long)want.overflowed,
        (unsigned long long)counts.underflowed, (unsigned long long)want.underflowed, (unsigned long long)counts.nan,
        (unsigned long long)want.nan, (unsigned long long)counts.units, (unsigned long long)want.units, counts.largest,
        want.largest);
  guarded_free("cast", out);
  guarded_free("cast", same);
}

void test_cast(void) {
  static const bk_dtype pairs[][2] = {{BK_F32, BK_BF16}, {BK_F32, BK_F16}, {BK_BF16, BK_F16}, {BK_F16, BK_BF16}};
  const size_t n = quick ? 200000 : 2000000;
  uint32_t *words = malloc(n * 8);
  for (int near = 0; near < 2; near++) {
    for (size_t i = 0; i < n; i++) {
      words[i] = (uint32_t)random_bits();
      if (near) words[i] = (words[i] & 0x807fffffu) | (uint32_t)(98 + random_below(48)) << 23;
    }
    for (int p = 0; p < 2; p++) check_cast(pairs[p][0], pairs[p][1], words, n);
  }
  for (size_t i = 0; i < 65536; i++) ((uint16_t *)words)[i] = (uint16_t)i;
  for (int p = 2; p < 4; p++) check_cast(pairs[p][0], pairs[p][1], words, 65536);
  for (int near = 0; near < 3; near++) {
    for (size_t i = 0; i < n; i++) {
      uint64_t u = random_bits();
      if (near)
        u = (u & 0x800fffffffffffffu) | (uint64_t)(near == 1 ? 870 + random_below(290) : 994 + random_below(48)) << 52;
      if (i % 5 == 0) u &= 0xffffff8000000000u | random_bits() >> 63;  // near halfway cases of short types
      memcpy((char *)words + i * 8, &u, 8);
    }
    for (int to = BK_F32; to <= BK_F16; to++) check_cast(-1, to, words, n);
  }
  for (size_t i = 0; i < 100; i++)
    for (int p = 0; p < 4; p++) check_cast(pairs[p][0], pairs[p][1], words, i);
  for (int type = BK_F32; type <= BK_F16; type++) {
    double wide[1000];
    bk_widen_f64((char *)wide, type, words, 1000);
    bool ok = true;
    for (size_t i = 0; i < 1000; i++) {
      const double want = element(type, words, i);
      ok = ok && (isnan(want) ? isnan(wide[i]) : wide[i] == want);
    }
    check(ok, "widen to f64", "from type %d", type);
  }
  free(words);
  uint64_t table[256];
  uint8_t codes[300], out[2400];
  for (int i = 0; i < 256; i++) table[i] = random_bits();
  for (int i = 0; i < 300; i++) codes[i] = (uint8_t)random_bits();
  for (int size = 2; size <= 8; size *= 2) {
    bool ok = bk_lookup(size, out, codes, 300, table) == BK_OK;
    for (int i = 0; i < 300; i++)
      ok = ok && memcmp(out + i * size, (char *)table + codes[i] * size, (size_t)size) == 0;
    check(ok, "lookup", "%d bytes", size);
  }
  check(bk_lookup(3, out, codes, 1, table) == BK_EARGUMENT, "lookup", "3 bytes");
}

// ---------------------------------------------------------------------------------------------------------- copy

void test_copy(void) {
  for (int n = 0; n < (quick ? 300 : 2000); n++) {
    start_case(seed + 1);
    const int size = 1 << random_below(4), rank = (int)random_below(6);
    size_t shape[8], count = 1, src_count = 1;
    ptrdiff_t ds[8], ss[8];
    int order[8];
    for (int d = 0; d < rank; d++) {
      shape[d] = n % 5 == 0 && rank < 3 ? 1 + random_below(150) : 1 + random_below(9);
      if (random_below(60) == 0) shape[d] = 0;
      count *= shape[d];
      order[d] = d;
    }
    if (n % 100 == 0 && rank == 1) count = shape[0] = 200000;
    for (int d = rank - 1; d > 0; d--) {
      int o = (int)random_below((size_t)d + 1), t = order[d];
      order[d] = order[o];
      order[o] = t;
    }
    ptrdiff_t stride = 1, reverse = 0;
    for (int d = rank - 1; d >= 0; d--) {  // destination contiguous
      ds[d] = stride;
      stride *= (ptrdiff_t)shape[d];
    }
    for (int i = rank - 1; i >= 0; i--) {  // source in another order, padded, some dimensions reversed or broadcast
      const int d = order[i];
      ss[d] = (ptrdiff_t)src_count;
      if (random_below(12) == 0) {
        ss[d] = 0;
        continue;
      }
      src_count = src_count * (shape[d] ? shape[d] : 1) + (random_below(3) == 0 ? 1 : 0);
      if (random_below(12) == 0 && shape[d] > 0) {
        reverse += ss[d] * ((ptrdiff_t)shape[d] - 1);
        ss[d] = -ss[d];
      }
    }
    guarded src = guarded_new(src_count * (size_t)size), dst = guarded_new(count * (size_t)size),
            want = guarded_new(count * (size_t)size);
    for (size_t i = 0; i < src.bytes; i++) ((uint8_t *)src.data)[i] = (uint8_t)random_bits();
    for (size_t i = 0; i < count; i++) {
      size_t rest = i;
      ptrdiff_t at = reverse;
      for (int d = rank - 1; d >= 0; d--) {
        at += (ptrdiff_t)(rest % shape[d]) * ss[d];
        rest /= shape[d];
      }
      memcpy((char *)want.data + i * (size_t)size, (char *)src.data + at * size, (size_t)size);
    }
    int error = bk_copy(pools[n % 4], size, rank, shape, dst.data, ds, (char *)src.data + reverse * size, ss);
    check(error == BK_OK && (count == 0 || memcmp(dst.data, want.data, dst.bytes) == 0), "copy",
          "rank %d, %zu elements of %d", rank, count, size);
    if (rank == 2 && ss[0] > 0 && ss[1] > 0 && ds[0] > 0) {  // back, into a strided destination
      guarded again = guarded_new(src.bytes);
      memcpy(again.data, src.data, src.bytes);
      bk_copy(pools[n % 4], size, rank, shape, again.data, ss, dst.data, ds);
      check(memcmp(again.data, src.data, src.bytes) == 0, "copy", "into strides");
      guarded_free("copy", again);
    }
    guarded_free("copy", src);
    guarded_free("copy", dst);
    guarded_free("copy", want);
  }
  check(bk_copy(NULL, 3, 0, NULL, NULL, NULL, NULL, NULL) == BK_EARGUMENT, "copy", "element size 3");
  for (int n = 0; n < 60; n++) {
    start_case(seed + 1);
    const bk_dtype type = n % 3;
    const size_t rows = 1 + random_below(50), width = random_below(100), stride = width + random_below(4),
                 count = random_below(70);
    guarded table = guarded_elements(type, rows * stride, -3, 3), out = guarded_new(count * (width + 1) * 4);
    int64_t index[70];
    for (size_t i = 0; i < count; i++) index[i] = (int64_t)random_below(rows);
    bk_gather_rows(pools[n % 4], out.data, width + 1, type, table.data, stride, index, count, width);
    bool ok = true;
    for (size_t i = 0; i < count; i++)
      for (size_t j = 0; j <= width; j++)
        ok = ok && (double)floats(out)[i * (width + 1) + j] ==
                       (j < width ? element(type, table.data, (size_t)index[i] * stride + j) : 0);
    check(ok, "gather_rows", "type %d, width %zu", type, width);
    guarded_free("gather_rows", table);
    guarded_free("gather_rows", out);
  }
}
