/// Elementary functions on vectors. Polynomials without a source are least-maximum-error fits (Lawson's iteration) in
/// double precision.

/// e^x, 1 ulp: x = n ln 2 + r with ln 2 in two parts (Cody and Waite), SLEEF's polynomial for (e^r - 1 - r) / r^2
/// (Shibata and Petrogalli 2019). PyTorch takes the same for activations, which agree with it to the bit.
FN vf exp_v(vf x) {
#pragma clang fp contract(off)
  const vf magic = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  x = choose(x < splat(-104.0f), splat(-104.0f), x);
  x = choose(x > splat(89.0f), splat(89.0f), x);
  vf shifted = x * splat(1.44269504089f) + magic;
  vf n = shifted - magic;
  vf r = fma_v(n, splat(-0.693145751953125f), x);
  r = fma_v(n, splat(-1.428606765330187045e-6f), r);
  vf p = fma_v(splat(1.98527617612853646e-4f), r, splat(1.39304355252534151e-3f));
  p = fma_v(p, r, splat(8.33336077630519866e-3f));
  p = fma_v(p, r, splat(4.16664853692054748e-2f));
  p = fma_v(p, r, splat(1.66666671633720397e-1f));
  p = fma_v(p, r, splat(0.5f));
  p = fma_v(r * r, p, r) + splat(1.0f);
#ifdef BK_SCALE
  return BK_SCALE(p, n);
#else
  vi k = (vi)as_u(shifted) - 0x4b400000;
  k = (k > 200) ? (vi)200 : k;  // only for NaN, whose result stays NaN
  k = (k < -200) ? (vi)-200 : k;
  vi half = k >> 1;
  return p * (vf)((half + 127) << 23) * (vf)((k - half + 127) << 23);
#endif
}

#define LOG2_E splat(0x1.715476p+0f)
#define EXP_LEAST splat(-0x1.5d58a0p+6f)

/// e^x to 20 ulp, 0 below -87.3; x is at most 0. Source: PyTorch 2.15, `exp_u20`.
FN vf exp_u20_v(vf x) {
#pragma clang fp contract(off)
  vf least = choose(x < EXP_LEAST, EXP_LEAST, x);
  vf n = __builtin_elementwise_floor(fma_v(least, LOG2_E, splat(0.5f)));
  vf r = fma_v(-n, splat(0x1.62e430p-1f), least);
  vf p = fma_v(r, splat(0.00828929059f), splat(0.0418978221f));
  p = fma_v(r, p, splat(0.166676521f));
  p = fma_v(r, p, splat(0.499991506f));
  p = fma_v(r, p, splat(0.999999701f));
  p = fma_v(r, p, splat(1.0f));
  vf power = (vf)((__builtin_convertvector(n, vi) + 126) << 23);
  return choose(x < EXP_LEAST, splat(0.0f), p * power * splat(2.0f));
}

/// e^x to three digits, 0 below -87.3; x is at most 0: a cubic between powers of two (Malossi et al. 2015). Source:
/// PyTorch 2.15, `fexp_u20`.
FN vf exp_coarse_v(vf x) {
#pragma clang fp contract(off)
  vf least = choose(x < EXP_LEAST, EXP_LEAST, x);
  vf power = least * LOG2_E, part = power - __builtin_elementwise_floor(power);
  vf c = fma_v(part, splat(-0.079204240219773236f), splat(-0.22433836478672356f));
  c = fma_v(part, c, splat(0.30354260500649682f));
  c = fma_v(part, c, splat(0.00010703434948458272f));
  vi bits = __builtin_convertvector(fma_v(splat(0x1p23f), power - c, splat(0x1p23f * 127.0f)), vi);
  return choose(x < EXP_LEAST, splat(0.0f), (vf)bits);
}

/// erf, absolute error below 1.2e-7: x P(x^2) below 1, 1 - exp(-Q(x)) above.
FN vf erf_v(vf x) {
  vf t = abs_v(x), s = t * t;
  vf p = fma_v(splat(7.889119297e-5f), s, splat(-8.020841051e-4f));
  p = fma_v(p, s, splat(5.189535208e-3f));
  p = fma_v(p, s, splat(-2.685444430e-2f));
  p = fma_v(p, s, splat(1.128360033e-1f));
  p = fma_v(p, s, splat(-3.761262596e-1f));
  p = fma_v(p, s, splat(1.283791661e-1f));
  vf small = fma_v(p, x, x);
  vf c = choose(t > splat(4.0f), splat(4.0f), t);
  vf q = fma_v(splat(-1.915050379e-4f), c, splat(2.999549033e-3f));
  q = fma_v(q, c, splat(-2.205202915e-2f));
  q = fma_v(q, c, splat(1.035669520e-1f));
  q = fma_v(q, c, splat(6.375999451e-1f));
  q = fma_v(q, c, splat(1.127426147f));
  q = fma_v(q, c, splat(2.564366441e-4f));
  vf large = sign_of(splat(1.0f) - exp_v(-q), x);
  return choose(t > splat(1.0f), large, small);
}

/// tanh: x + x^3 P(x^2) below 0.625, 1 - 2 / (e^2x + 1) above.
FN vf tanh_v(vf x) {
  vf t = abs_v(x), s = x * x;
  vf p = fma_v(splat(-5.717036780e-3f), s, splat(2.065057866e-2f));
  p = fma_v(p, s, splat(-5.374349654e-2f));
  p = fma_v(p, s, splat(1.333149076e-1f));
  p = fma_v(p, s, splat(-3.333328366e-1f));
  vf small = fma_v(p * s, x, x);
  vf large = sign_of(splat(1.0f) - splat(2.0f) / (exp_v(t + t) + splat(1.0f)), x);
  return choose(t > splat(0.625f), large, small);
}

FN vf sigmoid_v(vf x) { return splat(1.0f) / (splat(1.0f) + exp_v(-x)); }
FN vf silu_v(vf x) { return x / (splat(1.0f) + exp_v(-x)); }
FN vf relu_v(vf x) { return choose(x < splat(0.0f), splat(0.0f), x); }
FN vf gelu_erf_v(vf x) {
  vf h = x * splat(0.5f);
  return fma_v(h, erf_v(x * splat(0.70710678118f)), h);
}
/// 0.5 x (1 + tanh(u)) = x / (1 + e^-2u), u = sqrt(2 / pi) (x + 0.044715 x^3)
FN vf gelu_tanh_v(vf x) {
  vf inner = fma_v(x * x * x, splat(0.044715f), x);
  return x / (splat(1.0f) + exp_v(inner * splat(-1.59576912161f)));
}

FN vf activate(bk_activation act, vf x) {
  switch (act) {
    case BK_ACT_RELU: return relu_v(x);
    case BK_ACT_GELU_ERF: return gelu_erf_v(x);
    case BK_ACT_GELU_TANH: return gelu_tanh_v(x);
    case BK_ACT_SILU: return silu_v(x);
    case BK_ACT_TANH: return tanh_v(x);
    case BK_ACT_SIGMOID: return sigmoid_v(x);
    default: return x;
  }
}
