/// Encoders of blocks of 256 numbers in 8 or 16 parts, whose scales are searched for.
///
/// VW parts are encoded side by side, each in a lane of its own, so that every sum has the order of plain code: x[i]
/// holds number i of each part.

enum { K_BLOCK = 256, K_PARTS = 16, K_MOST = 32 };

/// The search of a scale and a least value for parts of n numbers. It starts with `top` steps between least and
/// greatest, then tries top + first + k / 10 of them for k up to `tries`.
typedef struct {
  int n, top, tries;
  float first;
  bool absolute;  ///< whether errors are counted by magnitude, not by square
} k_search;

FN vf weighed_error(const k_search s, vf scale, vf least, const vi *codes, const vf *x, const vf *w) {
  vf sum = splat(0);
  for (int i = 0; i < s.n; i++) {
    vf diff = scale * int_to_float(codes[i]) + least - x[i];
    sum += w[i] * (s.absolute ? abs_v(diff) : diff * diff);
  }
  return sum;
}

/// For each number of steps, the scale and least value that suit its codes best by weighed least squares. *below is how
/// far the least value lies below zero.
FN void search_least(const k_search s, const vf *x, const vf *w, vi *codes, vf *scale_out, vf *below) {
  vf low = x[0], high = x[0], sum_w = w[0], sum_x = w[0] * x[0];
  for (int i = 1; i < s.n; i++) {
    low = choose(x[i] < low, x[i], low);
    high = choose(x[i] > high, x[i], high);
    sum_w += w[i];
    sum_x += w[i] * x[i];
  }
  low = choose(low > splat(0), splat(0), low);
  vi flat = high == low;
  vf step = splat((float)s.top) / (high - low), scale = splat(1) / step;
  for (int i = 0; i < s.n; i++) codes[i] = clamp_int(nearest(step * (x[i] - low)), 0, s.top);
  vf best = weighed_error(s, scale, low, codes, x, w);
  for (int k = 0; k <= s.tries; k++) {
    vi tried[K_MOST];
    vf sum_l = splat(0), sum_l2 = splat(0), sum_xl = splat(0);
    step = splat(s.first + 0.1f * (float)k + (float)s.top) / (high - low);
    for (int i = 0; i < s.n; i++) {
      tried[i] = clamp_int(nearest(step * (x[i] - low)), 0, s.top);
      vf l = int_to_float(tried[i]), wl = w[i] * l;
      sum_l += wl;
      sum_l2 += wl * l;
      sum_xl += wl * x[i];
    }
    vf det = sum_w * sum_l2 - sum_l * sum_l;
    vf fitted = (sum_w * sum_xl - sum_x * sum_l) / det, least = (sum_l2 * sum_x - sum_l * sum_xl) / det;
    vi above = least > splat(0);
    fitted = choose(above, sum_xl / sum_l2, fitted);
    least = choose(above, splat(0), least);
    vf error = weighed_error(s, fitted, least, tried, x, w);
    vi better = (det > splat(0)) & (error < best) & ~flat;
    best = choose(better, error, best);
    scale = choose(better, fitted, scale);
    low = choose(better, least, low);
    for (int i = 0; i < s.n; i++) codes[i] = better ? tried[i] : codes[i];
  }
  for (int i = 0; i < s.n; i++) codes[i] = flat ? (vi)0 : codes[i];
  *scale_out = choose(flat, splat(0), scale);
  *below = -low;
}

/// The first number of the greatest magnitude, and that magnitude.
FN vf extreme_of_lanes(int n, const vf *x, vf *magnitude) {
  vf extreme = splat(0), m = splat(0);
  for (int i = 0; i < n; i++) {
    vi more = abs_v(x[i]) > m;
    extreme = choose(more, x[i], extreme);
    m = choose(more, abs_v(x[i]), m);
  }
  *magnitude = m;
  return extreme;
}

/// Magnitudes below this are zero.
#define K_ZERO splat(1e-15f)

/// A scale for 6-bit codes from -32 to 31, by least squares with the squares of the numbers as weights. Codes are 32
/// higher, those of zeros are zero.
FN vf search_signed(const vf *x, vi *codes) {
  vf m, extreme = extreme_of_lanes(16, x, &m), scale = splat(0), best = splat(0);
  for (int t = 0; t <= 18; t++) {
    // The plain step first, then those beside it.
    int beside = t == 0 ? 0 : t <= 9 ? t - 10 : t - 9;
    vf step = splat(-(32.0f + 0.1f * (float)beside)) / extreme, sum_xl = splat(0), sum_l2 = splat(0);
    vi tried[16];
    for (int i = 0; i < 16; i++) {
      tried[i] = clamp_int(nearest(step * x[i]), -32, 31);
      vf l = int_to_float(tried[i]), w = x[i] * x[i];
      sum_xl += w * x[i] * l;
      sum_l2 += w * l * l;
    }
    vi better = t == 0 ? (vi)-1 : (sum_l2 > splat(0)) & (sum_xl * sum_xl > best * sum_l2);
    vf fitted = choose(sum_l2 == splat(0), splat(0), sum_xl / sum_l2);
    scale = choose(better, fitted, scale);
    best = choose(better, fitted * sum_xl, best);
    for (int i = 0; i < 16; i++) codes[i] = better ? tried[i] + 32 : codes[i];
  }
  vi zero = m < K_ZERO;
  for (int i = 0; i < 16; i++) codes[i] = zero ? (vi)0 : codes[i];
  return choose(zero, splat(0), scale);
}

/// A scale for 3-bit codes from -4 to 3: each code in turn is changed where that fits better, five times at most. Codes
/// are 4 higher, those of zeros are zero.
FN vf search_refined(const vf *x, vi *codes) {
  vf m, extreme = extreme_of_lanes(16, x, &m), step = splat(-4) / extreme, sum_xl = splat(0), sum_l2 = splat(0);
  for (int i = 0; i < 16; i++) {
    codes[i] = clamp_int(nearest(step * x[i]), -4, 3);
    vf l = int_to_float(codes[i]), w = x[i] * x[i];
    sum_xl += w * x[i] * l;
    sum_l2 += w * l * l;
  }
  for (int t = 0; t < 5; t++) {
    vi changed = (vi)0;
    for (int i = 0; i < 16; i++) {
      vf w = x[i] * x[i], l = int_to_float(codes[i]);
      vf xl = sum_xl - w * x[i] * l, l2 = sum_l2 - w * l * l;
      vi code = clamp_int(nearest(x[i] * l2 / xl), -4, 3);
      vi open = (xl > splat(0)) & (code != codes[i]);
      l = int_to_float(code);
      xl += w * x[i] * l;
      l2 += w * l * l;
      vi better = open & (l2 > splat(0)) & (xl * xl * sum_l2 > sum_xl * sum_xl * l2);
      codes[i] = better ? code : codes[i];
      sum_xl = choose(better, xl, sum_xl);
      sum_l2 = choose(better, l2, sum_l2);
      changed |= better;
    }
    if (max_of(int_to_float(-changed)) == 0) break;
  }
  vi zero = m < K_ZERO;
  for (int i = 0; i < 16; i++) codes[i] = zero ? (vi)0 : codes[i] + 4;
  return choose(zero | ~(sum_l2 > splat(0)), splat(0), sum_xl / sum_l2);
}

/// Codes for the scales that are stored: (x + below) / scale; those of parts without a scale stay.
FN void settle(int n, const vf *x, vf scale, vf below, int low, int high, vi *codes) {
  vi none = scale == splat(0);
  for (int i = 0; i < n; i++) {
    vi code = clamp_int(nearest((x[i] + below) / scale), low, high) - low;
    codes[i] = none ? codes[i] : code;
  }
}

/// Writes codes of VW parts one after the other.
FN void put_codes(int n, const vi *codes, uint8_t *out) {
  for (int i = 0; i < n; i++)
    for (int p = 0; p < VW; p++) out[p * n + i] = (uint8_t)codes[i][p];
}

/// 2-bit codes of 256 numbers in 64 bytes, four that are 32 apart in each.
FN void pack_quarters(uint8_t *p, const uint8_t *codes) {
  for (int j = 0; j < K_BLOCK; j += 128)
    for (int i = 0; i < 32; i++) {
      const uint8_t *c = codes + j + i;
      p[j / 4 + i] = (uint8_t)((c[0] & 3) | (c[32] & 3) << 2 | (c[64] & 3) << 4 | (c[96] & 3) << 6);
    }
}
FN float greatest_of(const float *x, int n) {
  float m = 0;
  for (int i = 0; i < n; i++) m = x[i] > m ? x[i] : m;
  return m;
}
FN int nearest_int(float x) { return nearest(splat(x))[0]; }
