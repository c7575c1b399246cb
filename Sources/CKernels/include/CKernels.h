/// The CPU kernels of Bessemer.
///
/// Conventions
/// - Activations are float32 and sums are accumulated in float32. Strides and counts are in elements, not bytes.
/// - A `bk_pool *` may be NULL: the work then runs on the calling thread. Results never depend on the number of
/// threads.
/// - float and int64_t pointers have their natural alignment; void pointers need none. Counts may be zero.
/// - Outputs must not overlap inputs unless a comment allows it.
/// - Functions returning int return BK_OK or a negative BK_E... value; on failure the output's contents are
/// unspecified.
/// - Sizes are trusted: the caller has checked that every index reachable through the given counts and strides is
/// valid.
#ifndef CKERNELS_H
#define CKERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
  BK_OK = 0,
  BK_EMEMORY = -1,    ///< scratch memory could not be allocated
  BK_EARGUMENT = -2,  ///< a combination of arguments that is not supported (see the function)
  BK_ENUMBER = -3,    ///< an element is NaN or infinite where only numbers are allowed
};

/// Storage type of weights, tables and converted buffers.
typedef enum { BK_F32 = 0, BK_BF16 = 1, BK_F16 = 2 } bk_dtype;

/// Bytes per element: 4 or 2.
size_t bk_dtype_size(bk_dtype dtype);

// ---------------------------------------------------------------------------------------------- instruction sets

/// The instruction set in use: "portable", "avx2", "avx512", "avx512bf16", "amx", "neon" or "neonbf16".
/// The best one the machine has is chosen at first use.
const char *bk_isa(void);

/// Forces an instruction set for the whole process; NULL goes back to the best. Returns BK_EARGUMENT, changing nothing,
/// when the name is unknown or the machine lacks it. Not to be called while kernels run.
int bk_set_isa(const char *name);

/// The i-th instruction set this machine can run, worst first; NULL past the last.
const char *bk_isa_at(int i);

// --------------------------------------------------------------------------------------------------- thread pool

typedef struct bk_pool bk_pool;
typedef void (*bk_body)(void *ctx, size_t begin, size_t end);

/// A pool that runs bodies on `threads` threads, the calling thread included (so `threads - 1` are started).
/// `threads` below 1 counts as 1, above 1024 as 1024. NULL when out of memory or threads.
bk_pool *bk_pool_create(int threads);
/// Joins the threads. NULL is allowed. No run may be in progress.
void bk_pool_destroy(bk_pool *pool);
/// Number of threads, 1 for NULL.
int bk_pool_threads(const bk_pool *pool);
/// How often a thread polls for work (or for the end of a run) before it sleeps; 0 on a crowded machine. Default 4000.
void bk_pool_set_spin(bk_pool *pool, unsigned iterations);
/// Calls body(ctx, begin, end) for disjoint ranges that cover [0, count), each of `grain` items or more (the last may
/// be shorter; grain 0 counts as 1), and returns when all are done. Which thread runs which range is not determined. A
/// run started while another is in progress on the same pool (from a body, or from another thread) is serial on its own
/// thread.
void bk_pool_run(bk_pool *pool, size_t count, size_t grain, bk_body body, void *ctx);
/// Says what a run will read first that comes soon: workers that wait bring its beginning into their caches, which is
/// what they take of a run. Nothing is read from it, so it may be gone by then; NULL and 0 for nothing.
void bk_pool_expect(bk_pool *pool, const void *data, size_t bytes);
/// Frees the scratch memory the kernels keep for the calling thread. (Freed at a thread's end by itself.)
void bk_scratch_release(void);

// ---------------------------------------------------------------------------------------------------- conversion

/// dst[i] = src[i] converted, i < count; any pair of types, equal types copy. Rounding is to nearest, ties to even,
/// subnormals are kept, overflow gives infinity. Narrowing keeps a NaN's leading payload bits and sets the quiet bit;
/// f16 to f32 sets the quiet bit as well; bf16 to f32 is a shift. bf16 <-> f16 goes through f32, which is exact on the
/// way up, so that it rounds once. Same bits on every instruction set. dst must not overlap src.
void bk_convert(bk_pool *pool, bk_dtype dst_type, void *dst, bk_dtype src_type, const void *src, size_t count);

/// What casts did to values; every cast adds to it. An ulp is the step between neighbours of the new type at the old
/// value.
typedef struct {
  uint64_t changed;      ///< numbers that are not the same afterwards
  uint64_t overflowed;   ///< finite ones that became infinite
  uint64_t underflowed;  ///< those that became zero
  uint64_t nan;          ///< values that are no numbers, before as after
  uint64_t units;        ///< the errors of those that stayed finite, together, in 2^-24 ulp, each rounded down
  uint32_t largest;      ///< the largest of them
} bk_cast_counts;

/// Converts as bk_convert does and counts; a cast that can change nothing counts nothing. Same counts on every
/// instruction set.
void bk_cast(bk_dtype dst_type, void *dst, bk_dtype src_type, const void *src, size_t count, bk_cast_counts *counts);

/// Converts from f64, rounding once, and counts.
void bk_cast_f64(bk_dtype dst_type, void *dst, const void *src, size_t count, bk_cast_counts *counts);

/// Converts to f64, exactly.
void bk_widen_f64(void *dst, bk_dtype src_type, const void *src, size_t count);

/// dst[i] = table[codes[i]] for elements of 2, 4 or 8 bytes and a table of 256; BK_EARGUMENT for another size.
int bk_lookup(int element_size, void *dst, const uint8_t *codes, size_t count, const void *table);

// ------------------------------------------------------------------------------------------------- packed weights

/// Bytes of an [n, k] weight in packed form (a multiple of 32). Layouts, n in panels of 16 with zero padding:
///   f32  [ceil(n/16)][k][16]        f16  [ceil(n/16)][k][16]
///   bf16 [ceil(n/16)][ceil(k/2)][16][2]: two consecutive k of a column side by side (VDPBF16PS, BFDOT and AMX order)
size_t bk_pack_size(bk_dtype dtype, size_t n, size_t k);

/// Packs a weight. Source: [n, k] with `stride` elements from row to row, or if `transposed` [k, n] with `stride` from
/// one k to the next. Converts from src_type to dtype as bk_convert does.
int bk_pack(bk_pool *pool, bk_dtype dtype, void *packed, bk_dtype src_type, const void *src, size_t stride,
            bool transposed, size_t n, size_t k);

// --------------------------------------------------------------------------------------------------------- linear

typedef enum {
  BK_ACT_NONE = 0,
  BK_ACT_RELU,
  BK_ACT_GELU_ERF,
  BK_ACT_GELU_TANH,
  BK_ACT_SILU,
  BK_ACT_TANH,
  BK_ACT_SIGMOID,
} bk_activation;

typedef enum {
  BK_COMPUTE_F32 = 0,   ///< weights widened exactly to f32, f32 multiply-add
  BK_COMPUTE_BF16 = 1,  ///< x rounded to bf16 (ties to even), products exact, f32 sums; needs bf16 weights
  // As BK_COMPUTE_F32 with any weights, in the order of PyTorch's CPU kernels for a type; by bk_linear_rows only, that
  // of f32 by bk_linear too with weights of f32. Equal to them to the bit where x and w hold numbers of the type and x
  // has two rows or more, for f32 four.
  BK_COMPUTE_PYTORCH_F16 = 2,   ///< 64 sums side by side, then as a tree; what is left by itself
  BK_COMPUTE_PYTORCH_BF16 = 3,  ///< oneDNN's: of two k the second first, blocks of 512 or 1024 k
  BK_COMPUTE_PYTORCH_F32 = 4,   ///< MKL's: onto the bias, blocks of 192 k, see bk_sgemm_step
} bk_compute;

/// y[m, n] = act(sum over k of x[m, k] * w[n, k] + bias[n]) + residual[m, n]
typedef struct {
  size_t m, n, k;
  const float *x;  ///< [m, k], rows x_stride apart
  size_t x_stride;
  const void *w;    ///< bk_linear: packed by bk_pack; bk_linear_rows: [n, k], rows w_stride apart
  size_t w_stride;  ///< used by bk_linear_rows only
  bk_dtype w_type;
  bk_compute compute;
  const float *bias;  ///< [n], or NULL
  bk_activation activation;
  const float *residual;  ///< [m, n], rows residual_stride apart, or NULL; may be y itself (same stride)
  size_t residual_stride;
  float *y;  ///< [m, n], rows y_stride apart; must not overlap x
  size_t y_stride;
  const void *next;  ///< the weights of the next product or NULL, see bk_pool_expect
  size_t next_bytes;
} bk_linear_args;

/// Linear layer on packed weights. `w` aligned to 4 bytes or better; 64 is fastest. k == 0 gives act(bias) + residual.
/// BK_EARGUMENT for bf16 compute with weights that are not bf16, and for PyTorch's orders, but that of f32 with weights
/// of f32.
int bk_linear(bk_pool *pool, const bk_linear_args *args);

/// The same on a plain row-major weight, for weights that stay in a file mapping: streams the rows for small m,
/// otherwise packs 32 rows at a time into scratch.
int bk_linear_rows(bk_pool *pool, const bk_linear_args *args);

/// An f32 matrix in a batch: element (i, j) of matrix b is at data[b * batch + i * row + j * column].
typedef struct {
  const float *data;
  ptrdiff_t batch, row, column;
} bk_matrix;

/// c[b] = a[b] . b[b] for b < batches: a is [m, k], b is [k, n], c is [m, n] with rows c_row apart (columns contiguous)
/// and matrices c_batch apart. Strides of a and b may be anything, 0 (broadcast) and negative included. k == 0 gives
/// zeros.
int bk_matmul_f32(bk_pool *pool, size_t batches, size_t m, size_t n, size_t k, bk_matrix a, bk_matrix b, float *c,
                  ptrdiff_t c_batch, ptrdiff_t c_row);

// ------------------------------------------------------------------------------------------------------ attention

typedef enum { BK_MASK_NONE = 0, BK_MASK_BOOL = 1, BK_MASK_F32 = 2 } bk_mask;

/// A [batch, head, sequence, depth] tensor; depth is contiguous.
typedef struct {
  ptrdiff_t batch, head, sequence;
} bk_strides3;

/// out[b, h, i] = sum over j of softmax_j(scale * q[b, h, i] . k[b, h / (q_heads / kv_heads), j]) * v[..., j]
///
/// Masked scores (bool mask 0, or a key after the query when causal) are -FLT_MAX; additive masks are added, and sums
/// below -FLT_MAX (an additive -inf) count as -FLT_MAX. A row in which every key is masked is thus the mean of v over
/// all keys. causal: query i sees the keys j <= i + keys - queries. keys == 0 gives zeros.
typedef struct {
  size_t batch, q_heads, kv_heads;  ///< q_heads is a multiple of kv_heads
  size_t queries, keys, depth, v_depth;
  const float *q;  ///< [batch, q_heads, queries, depth]
  bk_strides3 q_strides;
  bk_dtype kv_type;  ///< of k and v: BK_F32 or BK_BF16
  const void *k;     ///< [batch, kv_heads, keys, depth]
  bk_strides3 k_strides;
  const void *v;  ///< [batch, kv_heads, keys, v_depth]
  bk_strides3 v_strides;
  float *out;  ///< [batch, q_heads, queries, v_depth]; must not overlap the inputs, q excepted if laid out the same
  bk_strides3 out_strides;
  float scale;
  bool causal;
  /// Blocks, sums and exponentials are those of PyTorch's CPU kernel for values of `value_type`, to which weights are
  /// rounded. Source: PyTorch 2.15, FlashAttentionKernel.cpp.
  bool as_pytorch;
  bk_dtype value_type;
  bk_mask mask_kind;
  const void *mask;  ///< bytes or floats [batch, q_heads, queries, keys] through mask_strides (0 broadcasts)
  ptrdiff_t mask_strides[4];
} bk_attention_args;

/// Scratch is bounded per thread (128 keys and 128 rows of queries at a time; 512 and 256 as PyTorch), whatever the
/// lengths.
/// BK_EARGUMENT when q_heads is not a multiple of kv_heads, or keys are of another type.
int bk_attention(bk_pool *pool, const bk_attention_args *args);

// --------------------------------------------------------------------------------------------------------- images
// Images are [batch, height, width, channels] without gaps.

/// y[b, i, j, o] = act(sum over r, q, c of x[b, (i*s + r*d - top) / factor, (j*s + q*d - left) / factor, c] *
/// w[o, r, q, c] + bias[o]) + residual[b, i, j, o], where x is zero outside.
typedef struct {
  size_t batch, height, width, channels;    ///< of x
  size_t out_height, out_width, outputs;    ///< of y
  size_t kernel_height, kernel_width;
  size_t stride[2], dilation[2], padding[2];  ///< vertical, horizontal; padding: rows above and columns on the left
  size_t factor;                              ///< each pixel of x counts as factor x factor ones
  const float *x;
  const void *w;  ///< [outputs, kernel_height * kernel_width * channels], packed by bk_pack
  bk_dtype w_type;
  bk_compute compute;
  const float *bias;  ///< [outputs], or NULL
  bk_activation activation;
  const float *residual;  ///< like y, or NULL; may be y itself
  float *y;               ///< must not overlap x
} bk_conv2d_args;

/// Convolution as a linear layer over windows, which are gathered for some rows of pixels at a time: about 1 MB of
/// scratch for each thread, whatever the sizes, one row of windows at least. Errors as of bk_linear.
int bk_conv2d(bk_pool *pool, const bk_conv2d_args *args);

/// y = (x - mean) / sqrt(variance + eps) * gamma + beta with mean and variance over the pixels of one image and
/// channels / groups neighbouring channels, then silu of that if asked. gamma, beta: [channels] or NULL. y may be x.
/// `channels` is a multiple of `groups`.
int bk_group_norm(bk_pool *pool, float *y, const float *x, size_t batch, size_t pixels, size_t channels, size_t groups,
                  const float *gamma, const float *beta, float eps, bool silu);

// ------------------------------------------------------------------------------------------------ row-wise kernels

/// y = softmax(x) along rows of n. y may be x (same stride). A row of -inf only gives NaN.
void bk_softmax(bk_pool *pool, float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows, size_t n);

/// y = (x - mean) / sqrt(variance + eps) * gamma + beta; gamma, beta: [n] or NULL. y may be x (same stride).
void bk_layer_norm(bk_pool *pool, float *y, size_t y_stride, const float *x, size_t x_stride, const float *gamma,
                   const float *beta, float eps, size_t rows, size_t n);

/// y = x / sqrt(mean(x^2) + eps) * gamma; gamma: [n] or NULL. y may be x (same stride).
void bk_rms_norm(bk_pool *pool, float *y, size_t y_stride, const float *x, size_t x_stride, const float *gamma,
                 float eps, size_t rows, size_t n);

/// The two norms of a + b (rows a_stride, b_stride apart). `sum`, when not NULL, receives a + b (rows sum_stride
/// apart). y and sum may each be a or b (same stride), but not one another.
void bk_add_layer_norm(bk_pool *pool, float *y, size_t y_stride, float *sum, size_t sum_stride, const float *a,
                       size_t a_stride, const float *b, size_t b_stride, const float *gamma, const float *beta,
                       float eps, size_t rows, size_t n);
void bk_add_rms_norm(bk_pool *pool, float *y, size_t y_stride, float *sum, size_t sum_stride, const float *a,
                     size_t a_stride, const float *b, size_t b_stride, const float *gamma, float eps, size_t rows,
                     size_t n);

// --------------------------------------------------------------------------------------------------- elementwise

typedef enum {
  BK_UNARY_RELU = 0,
  BK_UNARY_GELU_ERF,
  BK_UNARY_GELU_TANH,
  BK_UNARY_SILU,
  BK_UNARY_SIGMOID,
  BK_UNARY_TANH,
  BK_UNARY_EXP,
  BK_UNARY_ERF,
  BK_UNARY_NEG,
  BK_UNARY_ABS,
  BK_UNARY_SQRT,
  BK_UNARY_RSQRT,       ///< 1 / sqrt(x), both correctly rounded
  BK_UNARY_RECIPROCAL,  ///< 1 / x, correctly rounded
  BK_UNARY_LOG,         ///< this and the next two: the C library's, element by element
  BK_UNARY_SIN,
  BK_UNARY_COS,
} bk_unary_op;

/// y[i] = op(x[i]), i < count, contiguous; y may be x. BK_EARGUMENT for an unknown op.
int bk_unary(bk_pool *pool, bk_unary_op op, float *y, const float *x, size_t count);

typedef enum {
  BK_BINARY_ADD = 0,
  BK_BINARY_SUB,
  BK_BINARY_MUL,
  BK_BINARY_DIV,
  BK_BINARY_MAX,  ///< NaN if either is NaN
  BK_BINARY_MIN,  ///< NaN if either is NaN
  BK_BINARY_POW,  ///< the C library's powf
} bk_binary_op;

enum { BK_MAX_RANK = 8 };

/// out = op(a, b) elementwise: out is contiguous row-major of `shape` (rank 0...BK_MAX_RANK), a and b are read through
/// strides (0 broadcasts, negative allowed). out may be a or b where that operand is contiguous of the same shape.
/// Equal shapes and scalars (all strides 0) take the fast paths by themselves. BK_EARGUMENT for a rank or op out of
/// range.
int bk_binary(bk_pool *pool, bk_binary_op op, float *out, int rank, const size_t *shape, const float *a,
              const ptrdiff_t *a_strides, const float *b, const ptrdiff_t *b_strides);

/// out[r, i] = silu(gate[r, i]) * up[r, i], i < n. For a [rows, 2n] tensor with the gate first pass up = gate + n.
/// out may be gate or up (same stride).
void bk_swiglu(bk_pool *pool, float *out, size_t out_stride, const float *gate, size_t gate_stride, const float *up,
               size_t up_stride, size_t rows, size_t n);

/// Rotary position embedding of x [batch, heads, sequence, depth] into out of the same shape; depth is contiguous in
/// both. cos and sin: [batch or 1, sequence, rotated] (batch stride 0 for 1), full length: both members of a pair have
/// entries. Dimensions from `rotated` (even, <= depth) on are copied. Pairs are (i, i + rotated/2), or (2i, 2i+1) if
/// interleaved:
///   out[p] = x[p] cos[p] - x[q] sin[p],  out[q] = x[q] cos[q] + x[p] sin[q].  out may be x (same strides).
typedef struct {
  size_t batch, heads, sequence, depth, rotated;
  const float *x;
  bk_strides3 x_strides;
  float *out;
  bk_strides3 out_strides;
  const float *cos, *sin;
  ptrdiff_t table_batch, table_sequence;  ///< strides of both tables
  bool interleaved;
} bk_rotary_args;

/// BK_EARGUMENT when `rotated` is odd or above depth.
int bk_rotary(bk_pool *pool, const bk_rotary_args *args);

// ----------------------------------------------------------------------------------------------------------- copy

/// dst = src, an N-d array of `shape` read and written through strides in elements of element_size (1, 2, 4 or 8)
/// bytes. Negative and zero source strides are allowed. BK_EARGUMENT for another element size or a rank above
/// BK_MAX_RANK.
int bk_copy(bk_pool *pool, int element_size, int rank, const size_t *shape, void *dst, const ptrdiff_t *dst_strides,
            const void *src, const ptrdiff_t *src_strides);

/// out[i, :] = (float) table[index[i], :] for i < count, j < n. Every index must be in range: the caller checks.
void bk_gather_rows(bk_pool *pool, float *out, size_t out_stride, bk_dtype table_type, const void *table,
                    size_t table_stride, const int64_t *index, size_t count, size_t n);

// -------------------------------------------------------------------------------------------------------- numbers

/// What an array holds. BK_NUMBER_CODES are bytes that stand for the values of a table of 256 doubles.
typedef enum {
  BK_NUMBER_F32 = 0,
  BK_NUMBER_BF16,
  BK_NUMBER_F16,
  BK_NUMBER_I16,
  BK_NUMBER_U16,
  BK_NUMBER_I32,
  BK_NUMBER_U32,
  BK_NUMBER_I64,
  BK_NUMBER_U64,
  BK_NUMBER_F64,
  BK_NUMBER_CODES,
} bk_number;

/// dst[i] = src[i] as a double, i < n; 64-bit integers are rounded. `table` is read for BK_NUMBER_CODES only.
void bk_widen(bk_number type, const double *table, double *dst, const void *src, size_t n);

/// What numbers come to. Least, greatest, mean and squares (the sum of squared deviations from the mean) are those of
/// the finite ones; without any, least is infinity, greatest its negative, and the others are 0.
typedef struct {
  uint64_t finite, zeros, nans, infinities, negative_infinities;
  double least, greatest, mean, squares;
} bk_summary;

/// Sums up n numbers; the same bits on every instruction set.
void bk_summarize(bk_number type, const double *table, const void *src, size_t n, bk_summary *out);
/// Adds the numbers of `other`.
void bk_summary_add(bk_summary *into, const bk_summary *other);

/// How two rows of numbers differ, where both are finite: the largest |a - b|, the largest |a|, the sum of |a - b|, and
/// the products a a, b b and a b. `unequal` are pairs of different values, where NaNs are one value, `mismatched` those
/// of them that are not both finite.
typedef struct {
  uint64_t finite, unequal, mismatched;
  double largest, scale, sum, aa, bb, ab;
} bk_difference;

/// Compares a[i] with b[i], i < n; the same bits on every instruction set.
void bk_compare(bk_number a_type, const double *a_table, const void *a, bk_number b_type, const double *b_table,
                const void *b, size_t n, bk_difference *out);
/// Adds the pairs of `other`.
void bk_difference_add(bk_difference *into, const bk_difference *other);

/// How many of n elements of `size` bytes are not the same.
size_t bk_unequal(size_t size, const void *a, const void *b, size_t n);

/// Fingerprints of the rows and columns of a [rows, columns] array of elements of 1, 2, 4 or 8 bytes: sums of words
/// mixed from each element's bits, so that the order of elements does not matter and fingerprints of parts add up. A
/// fingerprint is two sums modulo 2^32. row_sums[r]: the second sum in the upper half. column_sums [2, columns], or
/// NULL: the first sums, then the second ones, to which is added. BK_EARGUMENT for another size.
int bk_fingerprint(size_t size, const void *src, size_t rows, size_t columns, uint64_t *row_sums,
                   uint32_t *column_sums);

// ------------------------------------------------------------------------------------------------- stored weights

#include "CKernelsWeights.h"

// --------------------------------------------------------------------------------------------------------- probes

/// A piece of memory.
typedef struct {
  const void *data;
  size_t bytes;
} bk_region;

/// Sums the regions on the pool's threads, what is aligned to 64 bytes of each, for a read bandwidth probe: time this
/// call.
float bk_probe_read(bk_pool *pool, size_t count, const bk_region *regions);
/// Runs `iterations` rounds of independent f32 multiply-adds on every thread; returns the floating-point operations
/// done.
double bk_probe_fma(bk_pool *pool, size_t iterations);

#ifdef __cplusplus
}
#endif

#include "CKernelsQuantized.h"
#endif
