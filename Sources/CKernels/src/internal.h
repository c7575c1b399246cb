/// What the sources of CKernels share: the table of instruction-set specific kernels, scratch memory, small helpers.
#ifndef BK_INTERNAL_H
#define BK_INTERNAL_H

#include "CKernels.h"

enum {
  BK_PANEL = 16,       ///< columns of a packed panel
  BK_TILE_N = 32,      ///< columns of an output tile: two panels
  BK_TILE_M_MAX = 192  ///< rows of an output tile at most
};

/// c[rows][panels * 16] (rows ldc apart) = or += a . b. `rows` is at most the table's limit, `panels` 1 or 2, up to 4
/// for one row. a: row r at a + r * lda. b: element (k, column) of panel p at b + p * panel_stride + k * k_stride +
/// column; for bf16 the k stride counts one k pair ([16][2] elements: 32 when packed).
typedef void bk_gemm_fn(int rows, int panels, size_t k, const float *a, size_t lda, const void *b, size_t k_stride,
                        size_t panel_stride, float *c, size_t ldc, bool accumulate);

/// The same for bf16 pairs: a holds pairs (k, k + 1) as 32-bit words, `pairs` of them; b is packed bf16.
typedef void bk_gemm_pairs_fn(int rows, int panels, size_t pairs, const uint32_t *a, size_t lda, const void *b,
                              size_t panel_stride, float *c, size_t ldc, bool accumulate);

/// c[r * ldc + j] = a[r] . b[j] for rows r < rows, j < n, both row-major with k contiguous.
typedef void bk_dots_fn(size_t rows, size_t n, size_t k, const float *a, size_t lda, const void *b, size_t ldb,
                        float *c, size_t ldc);

typedef struct {
  const char *name;
  int gemm_rows;                 ///< rows of one gemm call at most
  int pairs_rows, few_rows;      ///< rows of one gemm_pairs and one few_pairs call at most
  bk_gemm_fn *gemm[4];           ///< by bk_dtype of b, or BK_BF16_ROWS
  bk_gemm_pairs_fn *gemm_pairs;  ///< NULL: bf16 compute is done with x rounded, in f32
  bk_gemm_pairs_fn *few_pairs;   ///< used instead for an x of at most 4 rows; or NULL
  bk_dots_fn *dots[3];
  bk_dots_fn *dots_lanes[3];  ///< the same in the order of BK_COMPUTE_PYTORCH_F16
  void (*epilogue)(const bk_linear_args *args, const float *tile, size_t row, size_t rows, size_t column,
                   size_t columns);
  void (*convert[3][3])(void *dst, const void *src,
                        size_t count);  ///< [dst][src]; NULL on the diagonal and bf16 <-> f16
  /// The same, counting; [dst][src], NULL where nothing can change.
  void (*cast[3][3])(void *dst, const void *src, size_t count, bk_cast_counts *counts);
  void (*cast_f64)(bk_dtype type, void *dst, const void *src, size_t count, bk_cast_counts *counts);
  void (*transpose)(uint32_t *dst, const uint32_t *src, size_t stride, size_t k);  ///< [16 rows][k] to [k][16]
  void (*softmax)(float *y, const float *x, size_t n);
  void (*layer_norm)(float *y, const float *x, const float *gamma, const float *beta, float eps, size_t n);
  void (*rms_norm)(float *y, const float *x, const float *gamma, float eps, size_t n);
  /// Adds x - origin and its square to sums and squares.
  void (*moments)(float *sums, float *squares, const float *x, const float *origin, size_t n);
  /// y = (x - center) * factor + term, and silu of that if asked.
  void (*affine)(float *y, const float *x, const float *center, const float *factor, const float *term, bool silu,
                 size_t n);
  int (*unary)(bk_unary_op op, float *y, const float *x, size_t n);
  void (*binary)(bk_binary_op op, float *out, const float *a, bool a_scalar, const float *b, bool b_scalar, size_t n);
  void (*swiglu)(float *out, const float *gate, const float *up, size_t n);
  void (*rotary)(float *out, const float *x, const float *cos, const float *sin, size_t rotated, bool interleaved);
  /// Masks one row of scores: keys from `visible` on get -FLT_MAX, the mask's rules apply to the rest.
  void (*mask)(float *scores, size_t n, size_t visible, bk_mask kind, const void *mask, ptrdiff_t stride);
  /// One block of a streaming softmax row: scores become weights, *max and *sum are updated; returns the factor for
  /// what was accumulated before.
  float (*softmax_step)(float *scores, size_t n, float *max, float *sum);
  /// The same with PyTorch's approximate exponentials and its order of sums: one good to 20 ulp for float32, one to
  /// three digits, which it takes for types of 16 bits, when `coarse`.
  float (*softmax_pytorch)(float *scores, size_t n, float *max, float *sum, bool coarse);
  void (*scale)(float *y, const float *x, float factor, size_t n);
  void (*widen[9])(double *dst, const void *src, size_t n);  ///< by bk_number, to BK_NUMBER_U64
  void (*summarize)(const double *x, size_t n, bk_summary *out);
  void (*difference)(const double *a, const double *b, size_t n, bk_difference *out);
  /// The two sums of a row, by log2 of the element's size; first_sums and second_sums [n] are added to, or NULL.
  uint64_t (*mix_row[4])(const void *src, size_t n, uint32_t *first_sums, uint32_t *second_sums);
  size_t (*encode_blocks)(bk_blocks type, uint8_t *dst, const float *src, size_t count);
  // One group of a weight, see simd_quant.h.
  void (*quant_range)(bk_dtype type, const void *x, size_t n, float *low, float *high);
  void (*quant_int)(bk_dtype type, int8_t *codes, const void *x, size_t n, float scale, float offset, float low,
                    float high);
  void (*quant_e4m3)(bk_dtype type, uint8_t *codes, const void *x, size_t n, float scale);
  void (*quant_fit)(bk_dtype type, const void *x, size_t n, float scale, float low, float high, double sums[3]);
  void (*quant_mx)(bk_dtype type, uint8_t *codes, const void *x, size_t n, int exponent, bool is_e2m1);
  void (*quant_mx_error)(bk_dtype type, const void *x, size_t n, int exponent, bool is_e2m1, double *sum);
  /// `rows` rows from `first` on of bk_quant_spreading; false when an error is no finite number.
  bool (*quant_spreading)(const bk_rounding *args, size_t first, size_t rows, float *columns);
  size_t quant_rows;  ///< at most so many at once; `columns` has room for them
  // Inputs and products, see simd_quantized.h.
  float (*magnitude_row)(const float *x, size_t n);
  void (*codes_row)(int8_t *codes, const float *x, size_t n, float factor, bool divides, float offset, bool half,
                    float low, float high);
  void (*widen_i8)(bk_dtype type, float *y, const int8_t *codes, size_t n, float scale, float offset);
  void (*widen_e4m3)(float *y, const uint8_t *codes, size_t n, float factor);
  void (*widen_e2m1)(float *y, const uint8_t *codes, size_t n, float factor);
  /// c[r * ldc + j] = x[r] . w[j], whole numbers; of dots_i4 two rows j share bytes, and n is even.
  void (*dots_i8)(size_t rows, size_t n, size_t k, const int8_t *x, size_t ldx, const void *w, size_t ldw, int32_t *c,
                  size_t ldc);
  void (*dots_i4)(size_t rows, size_t n, size_t k, const int8_t *x, size_t ldx, const void *w, size_t ldw, int32_t *c,
                  size_t ldc);
  float (*probe_read)(const void *data, size_t bytes);
  double (*probe_fma)(size_t iterations);
} bk_table;

/// The table in use.
const bk_table *bk_ops(void);

/// True when AMX tiles are usable by this process (asks the kernel for permission).
bool bk_amx_available(void);
/// 32 rows by 2 panels at most.
bk_gemm_pairs_fn bk_amx_gemm_pairs;

/// A block of at least `bytes` bytes, 64-byte aligned, kept per thread and slot; NULL when out of memory. A slot's
/// block is valid until the same thread asks for that slot again.
void *bk_scratch(int slot, size_t bytes);
enum {
  BK_SCRATCH_CALL,   ///< by the calling thread of a kernel, shared with the workers
  BK_SCRATCH_WORK,   ///< by the thread that runs a body
  BK_SCRATCH_WORK2,  ///< the same
  BK_SCRATCH_IMAGE,  ///< by a kernel that calls others meanwhile
  BK_SCRATCH_SLOTS
};

/// The pool, or NULL when `work` (in multiply-adds or elements moved, roughly) is too small to be worth waking a
/// thread.
bk_pool *bk_pool_for(bk_pool *pool, double work);

/// A grain that gives each thread about eight ranges of `count` items, and no range less than `least` units of work.
size_t bk_grain(bk_pool *pool, size_t count, double work_per_item, double least);

/// A b of bf16 whose k are not in pairs: each k is a row like those of the other types.
enum { BK_BF16_ROWS = 3 };

/// Length of the next block of float32 products when `left` of k are: 192, or two halves where k is less than twice
/// that. Sums come out as those of MKL's sgemm with four rows or more, on which PyTorch's are made.
size_t bk_sgemm_step(size_t k, size_t left);

/// Any number of rows and panels through the table's gemm of a bk_dtype or BK_BF16_ROWS. b as in bk_gemm_fn.
void bk_gemm_block(const bk_table *o, int type, size_t rows, size_t panels, size_t k, const float *a, size_t lda,
                   const void *b, size_t k_stride, size_t panel_stride, float *c, size_t ldc, bool accumulate);

/// Packs rows [first, first + 16) of an [n, k] or transposed [k, n] weight as one panel.
void bk_pack_panel(const bk_table *o, bk_dtype dtype, void *panel, bk_dtype src_type, const void *src, size_t stride,
                   bool transposed, size_t first, size_t n, size_t k);

static inline size_t bk_min(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t bk_max(size_t a, size_t b) { return a > b ? a : b; }
static inline size_t bk_ceil(size_t a, size_t b) { return (a + b - 1) / b; }

#endif
