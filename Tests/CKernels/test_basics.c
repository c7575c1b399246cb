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
