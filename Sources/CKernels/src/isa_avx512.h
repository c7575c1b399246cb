/// The kernels for AVX-512, included twice: without and with its BF16 extension. BK_TARGET names the features.
#include <immintrin.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "internal.h"

#define VW 16
#define BK_MR 12
#define BK_NP 2
#define BK_FMA 1
#define BK_LOAD_F16(p) ((vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)(p))))
#define BK_STORE_F16(p, v) \
  _mm256_storeu_si256((__m256i *)(void *)(p), _mm512_cvtps_ph((__m512)(v), _MM_FROUND_TO_NEAREST_INT))
#define BK_SCALE(v, n) ((vf)_mm512_scalef_ps((__m512)(v), (__m512)(n)))
extern const bk_table BK_TABLE;
#pragma clang attribute push(__attribute__((target(BK_TARGET))), apply_to = function)
#include "simd.h"
#include "simd_math.h"
#include "simd_gemm.h"
#include "simd_lanes.h"
#include "simd_rows.h"
#include "simd_numbers.h"
#include "simd_cast.h"
#include "simd_quant.h"
#include "simd_spreading.h"
#include "simd_quantized.h"
#include "simd_blocks.h"
#include "simd_blocks_k.h"
#include "simd_blocks_encode.h"
#pragma clang attribute pop
#include "table.h"
