/// The kernels in plain C: vectors of four floats, no instruction set assumed.
#include "internal.h"

#define VW 4
#define BK_MR 2
#define BK_NP 1
#define BK_NAME "portable"
#define BK_TABLE bk_table_portable
extern const bk_table BK_TABLE;
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
