/// What the self-test's parts share: random numbers, guarded buffers, comparison and counting.
#ifndef BK_TEST_SUPPORT_H
#define BK_TEST_SUPPORT_H

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "CKernels.h"

extern bool quick;         ///< fewer and smaller cases (sanitizers, emulators)
extern uint64_t seed;      ///< of the case that runs
extern bk_pool *pools[4];  ///< NULL, and pools of 1, 2 and 3 threads
extern long passed, failed;

void start_case(uint64_t s);  ///< sets the seed
uint64_t random_bits(void);
size_t random_below(size_t n);  ///< 0 ... n - 1
float random_float(float low, float high);

/// A buffer of n elements with canary bytes on both sides, `random` floats or zeros.
typedef struct {
  void *data;
  size_t bytes;
  unsigned char *block;
} guarded;
guarded guarded_new(size_t bytes);
guarded guarded_floats(size_t n, float low, float high);
void guarded_free(const char *what, guarded g);  ///< counts a failure if a canary was overwritten
static inline float *floats(guarded g) { return g.data; }

/// One check; on failure prints what, the instruction set, the seed and the numbers.
void check(bool ok, const char *what, const char *format, ...) __attribute__((format(printf, 3, 4)));
/// |got - want| <= absolute + relative * |want| for n elements; NaN matches NaN.
void check_close(const char *what, const float *got, const double *want, size_t n, double absolute, double relative);
void check_same(const char *what, const void *a, const void *b, size_t bytes);

float bf16_to_float(uint16_t h);
uint16_t float_to_bf16(float f);
double f16_value(uint16_t h);
uint16_t float_to_f16(float f);
/// The value of element i of an array of `type`.
double element(bk_dtype type, const void *p, size_t i);
/// Random elements of `type`.
guarded guarded_elements(bk_dtype type, size_t n, float low, float high);
double activation_value(bk_activation a, double x);
extern const char *const activation_names[];

void test_pool(void);
void test_convert(void);
void test_cast(void);
void test_linear(void);
void test_matmul(void);
void test_attention(void);
void test_rows(void);
void test_elementwise(void);
void test_copy(void);
void test_numbers(void);
void test_blocks(void);
void test_quantize(void);
void test_conv2d(void);
void test_group_norm(void);
void test_quantized(void);

#endif
