/// Inputs quantized when a model runs, and products with quantized weights: a part of CKernels.h, whose conventions
/// hold here.
#ifndef CKERNELS_QUANTIZED_H
#define CKERNELS_QUANTIZED_H

#include "CKernels.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
  BK_STATIC_INT8,      ///< round(x * scale + offset)
  BK_DYNAMIC_INT8,     ///< by the largest of a row: x = code * scales[row]
  BK_DYNAMIC_E4M3,     ///< the same
  BK_DYNAMIC_MX_E4M3,  ///< blocks of 32 share a power of two, stored + 127; ties to even
  BK_DYNAMIC_MX_E2M1,  ///< the same, two codes a byte, the first in the low half; ties away from zero
} bk_row_codes;

/// Rows of an input to quantize, [rows, k].
typedef struct {
  bk_row_codes what;
  size_t rows, k;
  const float *x;  ///< rows x_stride apart
  size_t x_stride;
  float limit;          ///< of BK_DYNAMIC_INT8 and BK_DYNAMIC_E4M3: what the largest becomes
  bool divides;         ///< of BK_DYNAMIC_INT8: x is divided by the scale, not multiplied by the reciprocal
  float scale, offset;  ///< of BK_STATIC_INT8
  bool half;            ///< of BK_STATIC_INT8: each operation is rounded to float16
  void *codes;          ///< [rows, k]
  float *scales;        ///< [rows]; 0 for zeros, NaN for a row with NaN or infinity
  uint8_t *exponents;   ///< [rows, ceil(k / 32)]; 0 for zeros, 255 for a block with NaN or infinity
} bk_quant_rows;

/// BK_EARGUMENT for an odd k of two codes a byte.
int bk_quantize_rows(bk_pool *pool, const bk_quant_rows *args);

typedef enum {
  BK_CODES_INT8,
  BK_CODES_INT4,        ///< [rows, columns / 2] bytes, the left in the low half; widened only
  BK_CODES_INT4_PAIRS,  ///< [rows / 2, columns] bytes: an even row in the low half, the next in the high half
  BK_CODES_E4M3,
  BK_CODES_E2M1,  ///< [rows, columns / 2] bytes, the left in the low half
} bk_code_type;

/// A matrix [rows, columns] of codes: a number is (code + offset) * scale, or code * 2^exponent.
typedef struct {
  bk_code_type type;
  size_t rows, columns;
  const void *data;
  size_t groups;             ///< of a row, which divide its columns; of exponents always blocks of 32
  const float *scales;       ///< [rows, groups], or NULL for 1
  const float *offsets;      ///< [rows, groups], or NULL; whole numbers only
  const uint8_t *exponents;  ///< [rows, ceil(columns / 32)], stored + 127, or NULL
  bk_dtype rounding;         ///< what widened whole numbers are rounded to
} bk_codes;

/// y[rows, columns] = the numbers.
void bk_widen_codes(bk_pool *pool, const bk_codes *codes, float *y);

/// y[m, rows] = x . w^T
///
/// With whole numbers, x: (sum + whole_bias) * scale * token + bias, the sum exact in 32 bits, each step rounded to
/// float32; sums of groups are scaled and then added in order. With floats, wide_x: w is widened some rows at a time,
/// and y = sum * out_scale * token + bias.
typedef struct {
  size_t m;
  const int8_t *x;      ///< [m, columns], or NULL
  const float *wide_x;  ///< [m, columns], rows x_stride apart, where x is NULL
  size_t x_stride;
  bk_codes w;
  const int32_t *whole_bias;  ///< [rows], or NULL; one group only
  const float *out_scales;    ///< [rows], or NULL
  const float *tokens;        ///< [m], or NULL for 1
  const float *bias;          ///< [rows], or NULL
  float *y;                   ///< rows y_stride apart
  size_t y_stride;
} bk_quant_linear;

/// BK_EARGUMENT for whole numbers with a weight of floats, offsets or exponents, or without scales.
int bk_linear_quantized(bk_pool *pool, const bk_quant_linear *args);

#ifdef __cplusplus
}
#endif
#endif
