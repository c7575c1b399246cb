/// Tests of the block encoders: the bytes of every instruction set are those of portable code, which the Swift tests
/// hold against ggml's; two encodings are checked against their plain definition.
#include "support.h"

/// Numbers as models have them, and what tests the edges: zeros, equal ones, powers of two, very large and small ones.
static void fill(float *x, size_t n) {
  for (size_t i = 0; i < n; i++) {
    size_t kind = i / 16 % 7;
    float f = random_float(-1, 1) * random_float(0, 1);
    x[i] = kind == 0   ? 0
           : kind == 1 ? 0.25f
           : kind == 2 ? rintf(4 * f)
           : kind == 3 ? f * 1e4f
           : kind == 4 ? f * 1e-20f
                       : f;
  }
}

static void check_plain(const float *x, const uint8_t *blocks, size_t count) {
  for (size_t b = 0; b < count; b++, x += 32, blocks += 34) {
    float most = 0;
    for (int i = 0; i < 32; i++) most = fmaxf(most, fabsf(x[i]));
    float d = most / 127, factor = d != 0 ? 1 / d : 0;
    uint16_t scale = float_to_f16(d);
    bool ok = memcmp(&scale, blocks, 2) == 0;
    for (int i = 0; i < 32 && ok; i++) ok = (int8_t)blocks[2 + i] == (isinf(factor) ? 0 : (int)roundf(x[i] * factor));
    check(ok, "q8_0", "block %zu", b);
  }
}

void test_blocks(void) {
  const char *isa = bk_isa();
  for (int type = BK_Q4_0; type <= BK_Q8_K; type++) {
    for (size_t count = 0; count < (quick ? 4u : 40u); count++) {
      size_t n = count * bk_block_elements(type), size = count * bk_block_size(type);
      guarded x = guarded_new(n * sizeof(float)), y = guarded_new(size), z = guarded_new(size);
      fill(x.data, n);
      size_t good = bk_encode_blocks(type, y.data, x.data, count);
      check(good == count, "encode_blocks", "type %d: a good block is bad", type);
      bk_set_isa("portable");
      bk_encode_blocks(type, z.data, x.data, count);
      bk_set_isa(isa);
      check_same("encode_blocks", y.data, z.data, size);
      if (type == BK_Q8_0) check_plain(x.data, y.data, count);
      if (count > 0) {
        floats(x)[random_below(n)] = random_below(2) ? NAN : -INFINITY;
        good = bk_encode_blocks(type, y.data, x.data, count);
        check(good == count - 1, "encode_blocks", "type %d: a bad block is good", type);
      }
      guarded_free("encode_blocks", x);
      guarded_free("encode_blocks", y);
      guarded_free("encode_blocks", z);
    }
  }
}
