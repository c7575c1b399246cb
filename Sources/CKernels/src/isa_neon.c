/// The kernels for ARM64's NEON.
#if defined(__aarch64__)
#define BK_NAME "neon"
#define BK_TABLE bk_table_neon
#include "isa_neon.h"
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
#include "table.h"
#else
typedef int bk_no_neon;
#endif
