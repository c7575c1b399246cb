/// Vectors of VW floats by clang's vector extensions, and the few operations that need more than C's operators.
/// The including file defines before: VW (4, 8 or 16) and, where the instruction set has them, BK_FMA,
/// BK_LOAD_F16(pointer), BK_STORE_F16(pointer, v), BK_SCALE(v, n) = v * 2^n.
#include <float.h>
#include <math.h>
#include <string.h>

#define FN static inline __attribute__((always_inline))
#define VPP (BK_PANEL / VW)  ///< vectors per panel

typedef float vf __attribute__((ext_vector_type(VW)));
typedef int32_t vi __attribute__((ext_vector_type(VW)));
typedef uint32_t vu __attribute__((ext_vector_type(VW)));
typedef uint16_t vh __attribute__((ext_vector_type(VW)));
typedef uint8_t vb __attribute__((ext_vector_type(VW)));

FN vf splat(float x) { return (vf)x; }
FN vf load(const void *p) {
  vf v;
  memcpy(&v, p, sizeof v);
  return v;
}
FN vu loadu(const void *p) {
  vu v;
  memcpy(&v, p, sizeof v);
  return v;
}
FN vh loadh(const void *p) {
  vh v;
  memcpy(&v, p, sizeof v);
  return v;
}
FN void store(void *p, vf v) { memcpy(p, &v, sizeof v); }
FN void storeh(void *p, vh v) { memcpy(p, &v, sizeof v); }

/// The first n < VW elements; the others are `fill`.
FN vf load_part(const void *p, size_t n, float fill) {
  vf v = splat(fill);
  memcpy(&v, p, n * sizeof(float));
  return v;
}
FN void store_part(void *p, vf v, size_t n) { memcpy(p, &v, n * sizeof(float)); }

FN vf as_f(vu v) { return (vf)v; }
FN vu as_u(vf v) { return (vu)v; }
FN vf choose(vi mask, vf a, vf b) { return mask ? a : b; }

FN vf fma_v(vf a, vf b, vf c) {
#ifdef BK_FMA
  return __builtin_elementwise_fma(a, b, c);
#else
  return a * b + c;
#endif
}

FN vf abs_v(vf x) { return as_f(as_u(x) & 0x7fffffffu); }
FN vf sign_of(vf magnitude, vf sign) { return as_f(as_u(magnitude) | (as_u(sign) & 0x80000000u)); }
/// b where it is greater or unordered, which keeps a NaN in b.
FN vf max_v(vf a, vf b) { return choose(a > b, a, b); }
FN vf min_v(vf a, vf b) { return choose(a < b, a, b); }

FN float sum_v(vf v) {
#if VW == 16
  __typeof__(v.lo) h = v.lo + v.hi;
  __typeof__(h.lo) q = h.lo + h.hi;
#elif VW == 8
  __typeof__(v.lo) q = v.lo + v.hi;
#else
  vf q = v;
#endif
  __typeof__(q.lo) d = q.lo + q.hi;
  return d.x + d.y;
}
typedef float vf4 __attribute__((ext_vector_type(4)));

/// The sums of four vectors, each in the order of ``sum_v``.
FN vf4 sums_v(vf a, vf b, vf c, vf d) {
#if VW == 16
#define HALVES(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
  vf ab = HALVES(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
          HALVES(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
  vf cd = HALVES(c, d, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
          HALVES(c, d, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
  vf q = HALVES(ab, cd, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
         HALVES(ab, cd, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
  q += HALVES(q, q, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
  q += HALVES(q, q, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
  return HALVES(q, q, 0, 4, 8, 12);
#undef HALVES
#else
  return (vf4){sum_v(a), sum_v(b), sum_v(c), sum_v(d)};
#endif
}
FN float max_of(vf v) {
#if VW == 16
  __typeof__(v.lo) h = v.lo > v.hi ? v.lo : v.hi;
  __typeof__(h.lo) q = h.lo > h.hi ? h.lo : h.hi;
#elif VW == 8
  __typeof__(v.lo) q = v.lo > v.hi ? v.lo : v.hi;
#else
  vf q = v;
#endif
  __typeof__(q.lo) d = q.lo > q.hi ? q.lo : q.hi;
  return d.x > d.y ? d.x : d.y;
}

// -------------------------------------------------------------------------------------------- 16-bit float formats

FN vf widen_bf16(vh h) { return as_f(__builtin_convertvector(h, vu) << 16); }

/// Round half even by adding to the bits below the cut; NaN: leading payload bits and the quiet bit.
FN vh narrow_bf16(vf x) {
  vu u = as_u(x);
  vu rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  vu nan = (u >> 16) | 0x40u;
  vi is_nan = (u & 0x7fffffffu) > 0x7f800000u;
  return __builtin_convertvector(is_nan ? nan : rounded, vh);
}

/// IEEE binary16 by integer operations and one exact subtraction for subnormals.
FN vf widen_f16_portable(vh h) {
  vu u = __builtin_convertvector(h, vu);
  vu sign = (u & 0x8000u) << 16, magnitude = (u & 0x7fffu) << 13;
  vu normal = magnitude + (112u << 23);
  vu special = magnitude | 0x7f800000u;
  vu quiet = special | 0x400000u;
  vf tiny = as_f(magnitude + (113u << 23)) - splat(0x1p-14f);
  vi is_special = (u & 0x7c00u) == 0x7c00u, is_nan = (u & 0x7fffu) > 0x7c00u, is_tiny = (u & 0x7c00u) == 0u;
  vu r = is_special ? special : normal;
  r = is_nan ? quiet : r;
  r = is_tiny ? as_u(tiny) : r;
  return as_f(r | sign);
}

/// Subnormal results are rounded by the addition of 0.5, whose last mantissa bit is worth 2^-24.
FN vh narrow_f16_portable(vf x) {
  vu u = as_u(x) & 0x7fffffffu, sign = (as_u(x) >> 16) & 0x8000u;
  vu normal = (u - (112u << 23) + 0xfffu + ((u >> 13) & 1u)) >> 13;
  vi is_small = u < (113u << 23);
  vu small_in = is_small ? u : (vu)0u;
  vu tiny = as_u(as_f(small_in) + splat(0.5f)) - 0x3f000000u;
  vu nan = 0x7e00u | ((u >> 13) & 0x3ffu);
  vi is_large = u >= 0x477ff000u, is_nan = u > 0x7f800000u;
  vu r = is_small ? tiny : normal;
  r = is_large ? (vu)0x7c00u : r;
  r = is_nan ? nan : r;
  return __builtin_convertvector(r | sign, vh);
}

FN vf load_f16(const void *p) {
#ifdef BK_LOAD_F16
  return BK_LOAD_F16(p);
#else
  return widen_f16_portable(loadh(p));
#endif
}
FN void store_f16(void *p, vf v) {
#ifdef BK_STORE_F16
  BK_STORE_F16(p, v);
#else
  storeh(p, narrow_f16_portable(v));
#endif
}
FN vf load_bf16(const void *p) { return widen_bf16(loadh(p)); }
