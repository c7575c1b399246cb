/// Weights in few bits: encodings in blocks, and quantization. Included by CKernels.h.
#ifndef CKERNELS_WEIGHTS_H
#define CKERNELS_WEIGHTS_H

// --------------------------------------------------------------------------------------------------------- blocks

/// Encodings in blocks of 32 or 256 numbers with scales, as ggml has them.
typedef enum {
  BK_Q4_0,
  BK_Q4_1,
  BK_Q5_0,
  BK_Q5_1,
  BK_Q8_0,
  BK_Q2_K,
  BK_Q3_K,
  BK_Q4_K,
  BK_Q5_K,
  BK_Q6_K,
  BK_Q8_K
} bk_blocks;

/// Numbers and bytes of a block.
size_t bk_block_elements(bk_blocks type);
size_t bk_block_size(bk_blocks type);

/// Encodes `count` blocks of float32 numbers, to the same bytes on every instruction set. Returns the number of blocks
/// that hold what they should: not those with a number that is not finite, or too large for the scales' float16.
size_t bk_encode_blocks(bk_blocks type, void *dst, const float *src, size_t count);

// --------------------------------------------------------------------------------------------------- quantization

/// A weight [rows][columns] of `type`, its rows one after the other, in groups of `group` columns from the left; a
/// group of the row's end may be shorter. Arithmetic on it is rounded to `type` after each operation.
typedef struct {
  bk_dtype type;
  const void *data;
  size_t rows, columns, group;
} bk_weight;

/// Groups of a row.
static inline size_t bk_weight_groups(const bk_weight *w) { return (w->columns + w->group - 1) / w->group; }

/// Whole numbers of `bits` (2 to 8) bits by the range of each group, which includes zero: w = scale * code, or with
/// offsets (not NULL) w = scale * (code - offset), where the codes span the range. scales, offsets: [rows][groups];
/// codes: [rows][columns], ties to even. BK_ENUMBER for a weight that is no finite number.
int bk_quant_int(bk_pool *pool, const bk_weight *w, int bits, float *scales, float *offsets, int8_t *codes);
/// The codes, between low and high, for given scales and offsets (or NULL).
int bk_quant_int_with(bk_pool *pool, const bk_weight *w, int low, int high, const float *scales, const float *offsets,
                      int8_t *codes);
/// float8 e4m3fn codes, scales so that the largest of a group becomes 448; ties to even. BK_ENUMBER as above.
int bk_quant_e4m3(bk_pool *pool, const bk_weight *w, float *scales, uint8_t *codes);
/// How well codes between low and high with these scales stand for each group: sums[3 * group] has the sums of
/// w * code, code * code and (w - scale * code)^2; products are rounded to the type, the squares of errors are not.
int bk_quant_fit(bk_pool *pool, const bk_weight *w, int low, int high, const float *scales, double *sums);

/// How the exponent of a microscaling block follows from its largest magnitude.
typedef enum {
  BK_MX_FLOOR,       ///< e4m3: floor(log2(largest)) - 8; e2m1: floor(log2(largest * 8 / 7 + 9.6e-7)) - 2
  BK_MX_CEIL,        ///< e2m1: ceil(log2(largest / divisor + 9.6e-7))
  BK_MX_NEAREST,     ///< e2m1: log2 of largest / 6 or of largest / 4 to the nearest, by the squares of errors
  BK_MX_LEAST_ERROR  ///< e4m3: the floor or the ceiling, by the squares of errors
} bk_mx_rule;
typedef struct {
  bool is_e2m1;  ///< else e4m3
  bk_mx_rule rule;
  float divisor;  ///< of BK_MX_CEIL
} bk_mx;

/// OCP microscaling: blocks share an exponent, stored + 127. e4m3 elements take a byte; two e2m1 elements take one, the
/// left in the low half (columns must be even, BK_EARGUMENT otherwise). Ties go away from zero. BK_ENUMBER as above.
int bk_quant_mx(bk_pool *pool, const bk_weight *w, bk_mx format, uint8_t *exponents, uint8_t *codes);
/// The sum of squares of what each block gets wrong; differences and squares are rounded to the type.
int bk_quant_mx_error(bk_pool *pool, const bk_weight *w, bk_mx format, double *sums);

/// Columns of a weight whose codes are found one after the other. What a column's rounding leaves, divided by the
/// factor's diagonal, is its error; the columns after it lose the error times the factor's row.
typedef struct {
  size_t rows, columns;
  float *w;  ///< [rows, columns], rows w_stride apart: changed as errors spread
  size_t w_stride;
  const float *factor;  ///< upper triangle of [columns, columns], rows factor_stride apart
  size_t factor_stride;
  const float *scales, *offsets;  ///< of column c at [row * scale_stride + (first + c) / group]; offsets or NULL
  size_t scale_stride, first, group;
  float low, high;  ///< of codes
  int8_t *codes;    ///< [rows, columns], rows codes_stride apart
  size_t codes_stride;
  float *errors;  ///< [rows, columns]
} bk_rounding;

/// Whole numbers, ties to even. BK_ENUMBER when an error is no finite number.
int bk_quant_spreading(bk_pool *pool, const bk_rounding *args);

#endif
