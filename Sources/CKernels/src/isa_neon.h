/// The kernels for NEON, included twice: without and with the BF16 extension.
#include <arm_neon.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "internal.h"

#define VW 4
#define BK_MR 6
#define BK_NP 1
#define BK_FMA 1
#define BK_LOAD_F16(p) ((vf)vcvt_f32_f16(vreinterpret_f16_u16((uint16x4_t)loadh(p))))
#define BK_STORE_F16(p, v) storeh(p, (vh)vreinterpret_u16_f16(vcvt_f16_f32((float32x4_t)(v))))
extern const bk_table BK_TABLE;
