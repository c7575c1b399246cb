/// The kernels for NEON with BFDOT.
#if defined(__aarch64__)
#define BK_NAME "neonbf16"
#define BK_TABLE bk_table_neonbf16
#define BK_DOT_BF16(acc, a, b) ((vf)vbfdotq_f32((float32x4_t)(acc), (bfloat16x8_t)(a), (bfloat16x8_t)(b)))
#include "isa_neon.h"
#pragma clang attribute push(__attribute__((target("arch=armv8.2-a+bf16"))), apply_to = function)
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
typedef int bk_no_neonbf16;
#endif
