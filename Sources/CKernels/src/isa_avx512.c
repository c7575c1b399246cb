/// The kernels for AVX-512 (F, BW, VL, DQ).
#if defined(__x86_64__)
#define BK_NAME "avx512"
#define BK_TABLE bk_table_avx512
#define BK_TARGET "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c"
#include "isa_avx512.h"
#else
typedef int bk_no_avx512;
#endif
