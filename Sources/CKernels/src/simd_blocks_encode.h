/// Encoders of whole blocks of 256 numbers, see simd_blocks_k.h, and of runs of blocks of any type.

FN void load_parts(int n, const float *src, vf *x) {
  for (int i = 0; i < n; i++)
    for (int p = 0; p < VW; p++) x[i][p] = src[p * n + i];
}

/// Scales and least values of 8 parts with 6 bits each in 12 bytes: those of the first 4 parts in the low bits of 8
/// bytes, those of the others in halves of the last 4 bytes and the high bits of the first 8.
FN void pack_six_bits(uint8_t *p, const uint8_t *scales, const uint8_t *leasts) {
  for (int j = 0; j < 4; j++) {
    p[j] = (uint8_t)(scales[j] | scales[j + 4] >> 4 << 6);
    p[j + 4] = (uint8_t)(leasts[j] | leasts[j + 4] >> 4 << 6);
    p[j + 8] = (uint8_t)((scales[j + 4] & 15) | (leasts[j + 4] & 15) << 4);
  }
}

/// Blocks that q4_k and q5_k encode at a time.
enum { K_PAIR = VW == 16 ? 2 : 1, K_GROUPS = VW == 4 ? 2 : 1 };

/// K_PAIR blocks of 4 or 5 bits a number; writes the first `count` of them, whose number it returns less those whose
/// scales do not fit.
static size_t encode_k8(uint8_t *p, const float *src, size_t count, int bits) {
  const int top = (1 << bits) - 1;
  const k_search s = {32, top, bits == 4 ? 20 : 15, bits == 4 ? -1.0f : -0.5f, false};
  vf x[K_GROUPS][32];
  vi codes[K_GROUPS][32];
  float scale[K_PARTS], below[K_PARTS];
  for (int g = 0; g < K_GROUPS; g++) {
    load_parts(32, src + g * VW * 32, x[g]);
    vf w[32], sum = splat(0), found, least;
    for (int i = 0; i < 32; i++) sum += x[g][i] * x[g][i];
    vf mean = __builtin_elementwise_sqrt(sum / splat(32));
    for (int i = 0; i < 32; i++) w[i] = mean + abs_v(x[g][i]);
    search_least(s, x[g], w, codes[g], &found, &least);
    store(scale + g * VW, found);
    store(below + g * VW, least);
  }
  size_t good = 0;
  for (size_t b = 0; b < count; b++) {
    float *sc = scale + 8 * b, *be = below + 8 * b;
    float most = greatest_of(sc, 8), lowest = greatest_of(be, 8);
    float factor = most > 0 ? 63.0f / most : 0.0f, low_factor = lowest > 0 ? 63.0f / lowest : 0.0f;
    uint16_t d = to_half(most / 63.0f), dmin = to_half(lowest / 63.0f);
    uint8_t scales[8], leasts[8], *block = p + b * (bits == 4 ? 144 : 176);
    for (int j = 0; j < 8; j++) {
      uint8_t a = (uint8_t)nearest_int(factor * sc[j]), m = (uint8_t)nearest_int(low_factor * be[j]);
      scales[j] = a > 63 ? 63 : a;
      leasts[j] = m > 63 ? 63 : m;
      sc[j] = from_half(d) * (float)scales[j];
      be[j] = from_half(dmin) * (float)leasts[j];
    }
    put_half(block, d);
    put_half(block + 2, dmin);
    pack_six_bits(block + 4, scales, leasts);
    good += !is_infinite_half(d) && !is_infinite_half(dmin);
  }
  uint8_t all[2 * K_BLOCK];
  for (int g = 0; g < K_GROUPS; g++) {
    settle(32, x[g], load(scale + g * VW), load(below + g * VW), 0, top, codes[g]);
    put_codes(32, codes[g], all + g * VW * 32);
  }
  for (size_t b = 0; b < count; b++) {
    uint8_t *block = p + b * (bits == 4 ? 144 : 176), *low = block + (bits == 4 ? 16 : 48);
    const uint8_t *c = all + b * K_BLOCK;
    for (int j = 0; j < K_BLOCK; j += 64)
      for (int i = 0; i < 32; i++) low[j / 2 + i] = (uint8_t)((c[j + i] & 15) | c[j + i + 32] << 4);
    if (bits == 4) continue;
    for (int i = 0; i < 32; i++) {
      int high = 0;
      for (int j = 0; j < 8; j++) high |= c[32 * j + i] >> 4 << j;
      block[16 + i] = (uint8_t)high;
    }
  }
  return good;
}

static bool encode_q2_k(uint8_t *block, const float *src) {
  const k_search s = {16, 3, 15, -0.5f, true};
  vf x[K_PARTS / VW][16];
  vi codes[K_PARTS / VW][16];
  float scale[K_PARTS], below[K_PARTS];
  for (int g = 0; g < K_PARTS / VW; g++) {
    load_parts(16, src + g * VW * 16, x[g]);
    vf w[16], found, least;
    for (int i = 0; i < 16; i++) w[i] = abs_v(x[g][i]);
    search_least(s, x[g], w, codes[g], &found, &least);
    store(scale + g * VW, found);
    store(below + g * VW, least);
  }
  float most = greatest_of(scale, K_PARTS), lowest = greatest_of(below, K_PARTS);
  float factor = most > 0 ? 15.0f / most : 0.0f, low_factor = lowest > 0 ? 15.0f / lowest : 0.0f;
  uint16_t d = to_half(most / 15.0f), dmin = to_half(lowest / 15.0f);
  for (int j = 0; j < K_PARTS; j++) {
    block[j] = (uint8_t)(nearest_int(factor * scale[j]) | nearest_int(low_factor * below[j]) << 4);
    scale[j] = from_half(d) * (float)(block[j] & 15);
    below[j] = from_half(dmin) * (float)(block[j] >> 4);
  }
  put_half(block + 80, d);
  put_half(block + 82, dmin);
  uint8_t all[K_BLOCK];
  for (int g = 0; g < K_PARTS / VW; g++) {
    settle(16, x[g], load(scale + g * VW), load(below + g * VW), 0, 3, codes[g]);
    put_codes(16, codes[g], all + g * VW * 16);
  }
  pack_quarters(block + 16, all);
  return !is_infinite_half(d) && !is_infinite_half(dmin);
}

/// The scale of the greatest magnitude, the first of several.
FN float extreme_scale(const float *scale) {
  float extreme = 0;
  for (int j = 0; j < K_PARTS; j++)
    if (fabsf(scale[j]) > fabsf(extreme)) extreme = scale[j];
  return extreme;
}

static bool encode_q3_k(uint8_t *block, const float *src) {
  vf x[K_PARTS / VW][16];
  vi codes[K_PARTS / VW][16];
  float scale[K_PARTS];
  for (int g = 0; g < K_PARTS / VW; g++) {
    load_parts(16, src + g * VW * 16, x[g]);
    store(scale + g * VW, search_refined(x[g], codes[g]));
  }
  float extreme = extreme_scale(scale), factor = extreme != 0 ? -32.0f / extreme : 0.0f;
  uint16_t d = to_half(extreme != 0 ? 1 / factor : 0.0f);
  memset(block + 96, 0, 12);
  for (int j = 0; j < K_PARTS; j++) {
    int8_t code = (int8_t)nearest_int(factor * scale[j]);
    code = code > 31 ? 31 : code < -32 ? -32 : code;
    // Without any scale the stored ones are zero, which stand for -32.
    int stored = extreme != 0 ? code + 32 : 0;
    block[96 + (j & 7)] |= (uint8_t)((stored & 15) << (j < 8 ? 0 : 4));
    block[104 + (j & 3)] |= (uint8_t)(stored >> 4 << (j / 4 * 2));
    scale[j] = from_half(d) * (float)(stored - 32);
  }
  put_half(block + 108, d);
  uint8_t all[K_BLOCK];
  for (int g = 0; g < K_PARTS / VW; g++) {
    settle(16, x[g], load(scale + g * VW), splat(0), -4, 3, codes[g]);
    put_codes(16, codes[g], all + g * VW * 16);
  }
  for (int i = 0; i < 32; i++) {
    int high = 0;
    for (int j = 0; j < 8; j++) high |= all[32 * j + i] >> 2 << j;
    block[i] = (uint8_t)high;
  }
  pack_quarters(block + 32, all);
  return !is_infinite_half(d);
}

static bool encode_q6_k(uint8_t *block, const float *src) {
  vf x[K_PARTS / VW][16];
  vi codes[K_PARTS / VW][16];
  float scale[K_PARTS];
  for (int g = 0; g < K_PARTS / VW; g++) {
    load_parts(16, src + g * VW * 16, x[g]);
    store(scale + g * VW, search_signed(x[g], codes[g]));
  }
  float extreme = extreme_scale(scale);
  memset(block, 0, 210);
  if (fabsf(extreme) < 1e-15f) return true;
  float factor = -128.0f / extreme;
  uint16_t d = to_half(1 / factor);
  for (int j = 0; j < K_PARTS; j++) {
    int code = nearest_int(factor * scale[j]);
    int8_t stored = (int8_t)(code > 127 ? 127 : code);
    block[192 + j] = (uint8_t)stored;
    scale[j] = from_half(d) * (float)stored;
  }
  put_half(block + 208, d);
  uint8_t all[K_BLOCK], high[K_BLOCK];
  for (int g = 0; g < K_PARTS / VW; g++) {
    settle(16, x[g], load(scale + g * VW), splat(0), -32, 31, codes[g]);
    put_codes(16, codes[g], all + g * VW * 16);
  }
  for (int i = 0; i < K_BLOCK; i++) high[i] = all[i] >> 4;
  pack_quarters(block + 128, high);
  for (int j = 0; j < K_BLOCK; j += 128)
    for (int i = 0; i < 64; i++) block[j / 2 + i] = (uint8_t)((all[j + i] & 15) | all[j + i + 64] << 4);
  return !is_infinite_half(d);
}

static bool encode_q8_k(uint8_t *block, const float *src) {
  float extreme = 0;
  for (int i = 0; i < K_BLOCK; i++)
    if (fabsf(src[i]) > fabsf(extreme)) extreme = src[i];
  memset(block, 0, 292);
  if (extreme == 0) return true;
  float factor = -127.0f / extreme, d = 1 / factor;
  memcpy(block, &d, sizeof d);
  for (int part = 0; part < K_PARTS; part++) {
    int16_t sum = 0;
    for (int i = 16 * part; i < 16 * part + 16; i++) {
      int code = nearest_int(factor * src[i]);
      int8_t stored = (int8_t)(code > 127 ? 127 : code);
      block[4 + i] = (uint8_t)stored;
      sum = (int16_t)(sum + stored);
    }
    memcpy(block + 260 + 2 * part, &sum, sizeof sum);
  }
  return true;
}

FN bool encode_one(bk_blocks type, uint8_t *p, const float *x) {
  switch (type) {
    case BK_Q4_0: return encode_signed(p, x, 4);
    case BK_Q4_1: return encode_above_least(p, x, 4);
    case BK_Q5_0: return encode_signed(p, x, 5);
    case BK_Q5_1: return encode_above_least(p, x, 5);
    case BK_Q8_0: return encode_q8_0(p, x);
    case BK_Q2_K: return encode_q2_k(p, x);
    case BK_Q3_K: return encode_q3_k(p, x);
    case BK_Q6_K: return encode_q6_k(p, x);
    case BK_Q8_K: return encode_q8_k(p, x);
    case BK_Q4_K:
    case BK_Q5_K: break;
  }
  return false;
}

/// Far beyond what scales of float16 hold, and low enough for the sums of all searches.
#define MOST 0x1p36f

/// Encodes `count` blocks, whose number it returns less those that hold a number that is not finite, or whose scales do
/// not fit.
static size_t encode_blocks(bk_blocks type, uint8_t *dst, const float *src, size_t count) {
  size_t good = 0, n = bk_block_elements(type), size = bk_block_size(type);
  if (type == BK_Q4_K || type == BK_Q5_K) {
    int bits = type == BK_Q4_K ? 4 : 5;
    for (size_t b = 0; b < count; b += K_PAIR) {
      size_t here = bk_min(K_PAIR, count - b), finite = 0;
      float padded[K_PAIR * K_BLOCK] = {0};
      const float *x = src + b * n;
      if (here < K_PAIR) x = memcpy(padded, x, here * n * sizeof(float));
      size_t fitting = encode_k8(dst + b * size, x, here, bits);
      for (size_t i = 0; i < here; i++) finite += all_below(MOST, x + i * n, n);
      good += bk_min(fitting, finite);
    }
    return good;
  }
  float limit = type == BK_Q8_K ? INFINITY : MOST;
  for (size_t b = 0; b < count; b++)
    good += encode_one(type, dst + b * size, src + b * n) && all_below(limit, src + b * n, n);
  return good;
}
