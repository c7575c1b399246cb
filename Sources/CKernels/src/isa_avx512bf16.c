/// The kernels for AVX-512 with VPDPBUSD and VDPBF16PS; the latter flushes subnormal inputs and results to zero.
#if defined(__x86_64__)
#define BK_NAME "avx512bf16"
#define BK_TABLE bk_table_avx512bf16
#define BK_TARGET "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vnni,avx2,fma,f16c"
#define BK_VNNI 1
#define BK_DOT_BF16(acc, a, b) ((vf)_mm512_dpbf16_ps((__m512)(acc), (__m512bh)(a), (__m512bh)(b)))
#include "isa_avx512.h"
#else
typedef int bk_no_avx512bf16;
#endif
