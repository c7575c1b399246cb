/// Encoders of blocks of 32 numbers with one scale, and what all encoders share.
///
/// Every number is computed by the same float32 operations in the same order on every instruction set, without fused
/// multiply-adds, so that the bytes are the same everywhere, and those of ggml's reference encoders on x86-64.
#pragma clang fp contract(off)

FN vf int_to_float(vi v) { return __builtin_convertvector(v, vf); }
FN vi clamp_int(vi v, int low, int high) {
  v = v < low ? (vi)low : v;
  return v > high ? (vi)high : v;
}
/// Truncates; zero for what 32 bits do not hold, NaN included.
FN vi float_to_int(vf v) {
  vi fits = abs_v(v) < splat(0x1p31f);
  return __builtin_convertvector(choose(fits, v, splat(0)), vi);
}
/// Rounds to nearest, ties to even, for numbers below 2^22; some number for all others.
FN vi nearest(vf v) { return (vi)(as_u(v + splat(12582912.0f)) & 0x7fffffu) - 0x400000; }
/// Rounds to nearest, ties away from zero, for numbers below 2^22.
FN vi round_away(vf v) {
  vf whole = int_to_float(float_to_int(v));
  vf rest = abs_v(v - whole);
  return float_to_int(choose((rest >= splat(0.5f)) & (rest < splat(1)), whole + sign_of(splat(1), v), whole));
}

FN uint16_t to_half(float x) { return narrow_f16_portable(splat(x))[0]; }
FN float from_half(uint16_t h) { return widen_f16_portable((vh)h)[0]; }
FN void put_half(uint8_t *p, uint16_t h) { memcpy(p, &h, sizeof h); }
FN bool is_infinite_half(uint16_t h) { return (h & 0x7fffu) == 0x7c00u; }

/// Whether all n numbers, a multiple of VW, are finite and below the limit, a power of two.
static bool all_below(float limit, const float *x, size_t n) {
  vi odd = (vi)0;
  for (size_t i = 0; i < n; i += VW) odd |= ~(abs_v(load(x + i)) < splat(limit));
  return max_of(int_to_float(-odd)) == 0;
}

/// The greatest magnitude of 32 numbers.
FN float greatest(const float *x) {
  vf m = splat(0);
  for (int i = 0; i < 32; i += VW) m = max_v(abs_v(load(x + i)), m);
  return max_of(m);
}
/// The first of 32 numbers that has the greatest magnitude.
static float extreme(const float *x) {
  float m = greatest(x);
  for (int i = 0; i < 32; i++)
    if (fabsf(x[i]) == m) return x[i];
  return 0;
}
/// The first of 32 numbers that equals x; of zeros, the sign counts.
FN float first_like(float x, const float *all) {
  for (int i = 0; x == 0 && i < 32; i++)
    if (all[i] == 0) return all[i];
  return x;
}
FN float least_of(const float *x) {
  vf m = load(x);
  for (int i = VW; i < 32; i += VW) m = min_v(load(x + i), m);
  return first_like(-max_of(-m), x);
}
FN float most_of(const float *x) {
  vf m = load(x);
  for (int i = VW; i < 32; i += VW) m = max_v(load(x + i), m);
  return first_like(max_of(m), x);
}

/// (x - least) * factor + half, truncated and cut to 0 ... top, as bytes.
FN void round_codes(uint8_t *codes, const float *x, float least, float factor, float half, int top) {
  for (int i = 0; i < 32; i += VW) {
    vf v = (load(x + i) - splat(least)) * splat(factor) + splat(half);
    vb c = __builtin_convertvector(clamp_int(float_to_int(v), 0, top), vb);
    memcpy(codes + i, &c, sizeof c);
  }
}

/// The low 4 bits of 32 codes in 16 bytes, those of the second half above those of the first.
FN void pack_nibbles(uint8_t *p, const uint8_t *codes) {
  for (int i = 0; i < 16; i++) p[i] = (uint8_t)((codes[i] & 15) | codes[i + 16] << 4);
}
/// Bit 4 of 32 codes.
FN void pack_fifth_bits(uint8_t *p, const uint8_t *codes) {
  uint32_t bits = 0;
  for (int i = 0; i < 32; i++) bits |= (uint32_t)(codes[i] >> 4 & 1) << i;
  memcpy(p, &bits, sizeof bits);
}

/// One block of 4 or 5 bits a number, symmetric; false when the scale does not fit.
FN bool encode_signed(uint8_t *p, const float *x, int bits) {
  int half = 1 << (bits - 1);
  float d = extreme(x) / (float)-half, factor = d != 0 ? 1.0f / d : 0.0f;
  uint8_t codes[32];
  round_codes(codes, x, 0, factor, (float)half + 0.5f, 2 * half - 1);
  uint16_t scale = to_half(d);
  put_half(p, scale);
  if (bits == 5) pack_fifth_bits(p + 2, codes);
  pack_nibbles(p + (bits == 5 ? 6 : 2), codes);
  return !is_infinite_half(scale);
}

/// One block of 4 or 5 bits a number above the least.
FN bool encode_above_least(uint8_t *p, const float *x, int bits) {
  int top = (1 << bits) - 1;
  float least = least_of(x), d = (most_of(x) - least) / (float)top, factor = d != 0 ? 1.0f / d : 0.0f;
  uint8_t codes[32];
  round_codes(codes, x, least, factor, 0.5f, top);
  uint16_t scale = to_half(d), low = to_half(least);
  put_half(p, scale);
  put_half(p + 2, low);
  if (bits == 5) pack_fifth_bits(p + 4, codes);
  pack_nibbles(p + (bits == 5 ? 8 : 4), codes);
  return !is_infinite_half(scale) && !is_infinite_half(low);
}

FN bool encode_q8_0(uint8_t *p, const float *x) {
  float d = greatest(x) / 127.0f, factor = d != 0 ? 1.0f / d : 0.0f;
  uint16_t scale = to_half(d);
  put_half(p, scale);
  for (int i = 0; i < 32; i += VW) {
    vb c = __builtin_convertvector(round_away(load(x + i) * splat(factor)), vb);
    memcpy(p + 2 + i, &c, sizeof c);
  }
  return !is_infinite_half(scale);
}
