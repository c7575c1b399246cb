/// Softmax and the norms, parallel over rows.
#include <string.h>

#include "internal.h"

typedef enum { SOFTMAX, LAYER_NORM, RMS_NORM } kind;

typedef struct {
  const bk_table *o;
  kind what;
  float *y, *sum;
  const float *a, *b, *gamma, *beta;
  size_t y_stride, sum_stride, a_stride, b_stride, n;
  float eps;
} job;

/// With a second operand: a + b goes to the sum's row, or to y's, and is normalized from there.
static void body(void *ctx, size_t begin, size_t end) {
  const job *j = ctx;
  for (size_t r = begin; r < end; r++) {
    const float *x = j->a + r * j->a_stride;
    float *y = j->y + r * j->y_stride;
    if (j->b) {
      float *sum = j->sum ? j->sum + r * j->sum_stride : y;
      j->o->binary(BK_BINARY_ADD, sum, x, false, j->b + r * j->b_stride, false, j->n);
      x = sum;
    }
    switch (j->what) {
      case SOFTMAX: j->o->softmax(y, x, j->n); break;
      case LAYER_NORM: j->o->layer_norm(y, x, j->gamma, j->beta, j->eps, j->n); break;
      case RMS_NORM: j->o->rms_norm(y, x, j->gamma, j->eps, j->n); break;
    }
  }
}

static void run(bk_pool *pool, job j, size_t rows) {
  if (j.n == 0) return;
  j.o = bk_ops();
  const double row = 4.0 * (double)j.n;
  bk_pool_run(bk_pool_for(pool, row * (double)rows), rows, bk_grain(pool, rows, row, 1e5), body, &j);
}

void bk_softmax(bk_pool *pool, float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows, size_t n) {
  run(pool, (job){.what = SOFTMAX, .y = y, .y_stride = y_stride, .a = x, .a_stride = x_stride, .n = n}, rows);
}

void bk_layer_norm(bk_pool *pool, float *y, size_t y_stride, const float *x, size_t x_stride, const float *gamma,
                   const float *beta, float eps, size_t rows, size_t n) {
  bk_add_layer_norm(pool, y, y_stride, NULL, 0, x, x_stride, NULL, 0, gamma, beta, eps, rows, n);
}

void bk_rms_norm(bk_pool *pool, float *y, size_t y_stride, const float *x, size_t x_stride, const float *gamma,
                 float eps, size_t rows, size_t n) {
  bk_add_rms_norm(pool, y, y_stride, NULL, 0, x, x_stride, NULL, 0, gamma, eps, rows, n);
}

void bk_add_layer_norm(bk_pool *pool, float *y, size_t y_stride, float *sum, size_t sum_stride, const float *a,
                       size_t a_stride, const float *b, size_t b_stride, const float *gamma, const float *beta,
                       float eps, size_t rows, size_t n) {
  run(pool,
      (job){.what = LAYER_NORM,
            .y = y,
            .y_stride = y_stride,
            .sum = sum,
            .sum_stride = sum_stride,
            .a = a,
            .a_stride = a_stride,
            .b = b,
            .b_stride = b_stride,
            .gamma = gamma,
            .beta = beta,
            .eps = eps,
            .n = n},
      rows);
}

void bk_add_rms_norm(bk_pool *pool, float *y, size_t y_stride, float *sum, size_t sum_stride, const float *a,
                     size_t a_stride, const float *b, size_t b_stride, const float *gamma, float eps, size_t rows,
                     size_t n) {
  run(pool,
      (job){.what = RMS_NORM,
            .y = y,
            .y_stride = y_stride,
            .sum = sum,
            .sum_stride = sum_stride,
            .a = a,
            .a_stride = a_stride,
            .b = b,
            .b_stride = b_stride,
            .gamma = gamma,
            .eps = eps,
            .n = n},
      rows);
}
