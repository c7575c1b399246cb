/// Elementary functions on vectors. Polynomials are least-maximum-error fits (Lawson's iteration) in double precision.

/// e^x, about 1 ulp: x = n ln 2 + r with ln 2 in two parts (Cody and Waite), a polynomial for (e^r - 1 - r) / r^2.
FN vf exp_v(vf x) {
  const vf magic = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  x = choose(x < splat(-104.0f), splat(-104.0f), x);
  x = choose(x > splat(89.0f), splat(89.0f), x);
  vf shifted = fma_v(x, splat(1.44269504089f), magic);
  vf n = shifted - magic;
  vf r = fma_v(n, splat(-0.693359375f), x);
  r = fma_v(n, splat(2.12194440e-4f), r);
  vf p = fma_v(splat(1.394216088e-3f), r, splat(8.363775909e-3f));
  p = fma_v(p, r, splat(4.166636243e-2f));
  p = fma_v(p, r, splat(1.666657329e-1f));
  p = fma_v(p, r, splat(5.0e-1f));
  p = fma_v(p * r, r, r) + splat(1.0f);
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
