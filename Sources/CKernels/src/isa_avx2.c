/// The kernels for AVX2, FMA and F16C.
#if defined(__x86_64__)
#include <immintrin.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "internal.h"

#define VW 8
#define BK_MR 6
#define BK_NP 1
#define BK_NAME "avx2"
#define BK_TABLE bk_table_avx2
#define BK_FMA 1
#define BK_LOAD_F16(p) ((vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(p))))
#define BK_STORE_F16(p, v) \
  _mm_storeu_si128((__m128i *)(void *)(p), _mm256_cvtps_ph((__m256)(v), _MM_FROUND_TO_NEAREST_INT))
extern const bk_table BK_TABLE;
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
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
#else
typedef int bk_no_avx2;
#endif
