/// Convolution of images: windows are gathered into rows of scratch, which go through the linear kernel.
#include <stdatomic.h>
#include <string.h>

#include "internal.h"

enum {
  WINDOW_BYTES = 1 << 20,  ///< of gathered windows at a time
  ROWS_MAX = 192,          ///< pixels of a task at most
  ROWS_UNIT = 16           ///< a multiple of which they are
};

typedef struct {
  const bk_conv2d_args *g;
  size_t length, stride;  ///< numbers of a window, and from one to the next
  size_t rows, pixels;    ///< pixels of a task and in all
  atomic_int error;
} job;

/// The pixel of x under row (or column) `at` of the padded image, or -1 outside.
static inline ptrdiff_t source(size_t at, size_t padding, size_t factor, size_t size) {
  if (at < padding) return -1;
  const size_t pixel = (at - padding) / factor;
  return pixel < size ? (ptrdiff_t)pixel : -1;
}

/// One row of a window: kernel_width pixels from column `left` of the padded image on.
static void gather_row(const bk_conv2d_args *g, float *to, const float *row, size_t left) {
  const size_t c = g->channels, k = g->kernel_width;
  const bool plain = g->factor == 1 && g->dilation[1] == 1;
  if (plain && left >= g->padding[1] && left - g->padding[1] + k <= g->width) {
    memcpy(to, row + (left - g->padding[1]) * c, k * c * sizeof(float));
    return;
  }
  for (size_t q = 0; q < k; q++, to += c) {
    const ptrdiff_t from = source(left + q * g->dilation[1], g->padding[1], g->factor, g->width);
    if (from < 0)
      memset(to, 0, c * sizeof(float));
    else
      memcpy(to, row + (size_t)from * c, c * sizeof(float));
  }
}

static void gather(const job *j, float *to, size_t pixel) {
  const bk_conv2d_args *g = j->g;
  const size_t row_length = g->kernel_width * g->channels;
  const size_t column = pixel % g->out_width, line = pixel / g->out_width % g->out_height;
  const float *image = g->x + pixel / g->out_width / g->out_height * g->height * g->width * g->channels;
  for (size_t r = 0; r < g->kernel_height; r++, to += row_length) {
    const ptrdiff_t from = source(line * g->stride[0] + r * g->dilation[0], g->padding[0], g->factor, g->height);
    if (from < 0)
      memset(to, 0, row_length * sizeof(float));
    else
      gather_row(g, to, image + (size_t)from * g->width * g->channels, column * g->stride[1]);
  }
}

/// The linear layer over `count` windows for the pixels from `first` on.
static bk_linear_args layer(const job *j, const float *windows, size_t stride, size_t first, size_t count) {
  const bk_conv2d_args *g = j->g;
  return (bk_linear_args){.m = count,
                          .n = g->outputs,
                          .k = j->length,
                          .x = windows,
                          .x_stride = stride,
                          .w = g->w,
                          .w_type = g->w_type,
                          .compute = g->compute,
                          .bias = g->bias,
                          .activation = g->activation,
                          .residual = g->residual ? g->residual + first * g->outputs : NULL,
                          .residual_stride = g->outputs,
                          .y = g->y + first * g->outputs,
                          .y_stride = g->outputs};
}

static void body(void *ctx, size_t begin, size_t end) {
  job *j = ctx;
  float *windows = bk_scratch(BK_SCRATCH_IMAGE, j->rows * j->stride * sizeof(float));
  if (!windows) {
    atomic_store(&j->error, BK_EMEMORY);
    return;
  }
  for (size_t task = begin; task < end; task++) {
    const size_t first = task * j->rows, count = bk_min(j->rows, j->pixels - first);
    for (size_t i = 0; i < count; i++) gather(j, windows + i * j->stride, first + i);
    const bk_linear_args arguments = layer(j, windows, j->stride, first, count);
    const int error = bk_linear(NULL, &arguments);
    if (error) atomic_store(&j->error, error);
  }
}

int bk_conv2d(bk_pool *pool, const bk_conv2d_args *g) {
  job j = {.g = g, .length = g->kernel_height * g->kernel_width * g->channels};
  j.pixels = g->batch * g->out_height * g->out_width;
  const bool plain = g->kernel_height == 1 && g->kernel_width == 1 && g->stride[0] == 1 && g->stride[1] == 1 &&
                     g->padding[0] == 0 && g->padding[1] == 0 && g->factor == 1 && g->out_height == g->height &&
                     g->out_width == g->width;
  if (plain) {
    const bk_linear_args arguments = layer(&j, g->x, g->channels, 0, j.pixels);
    return bk_linear(pool, &arguments);
  }
  // Odd multiples of a cache line keep rows from colliding in the first-level cache.
  j.stride = bk_ceil(j.length, 16) * 16 + 16;
  const size_t fitting = WINDOW_BYTES / sizeof(float) / j.stride / ROWS_UNIT * ROWS_UNIT;
  j.rows = bk_min(bk_max(fitting, ROWS_UNIT), ROWS_MAX);
  const double work = (double)j.length * (double)g->outputs;
  const size_t even = bk_ceil(bk_ceil(j.pixels, (size_t)bk_pool_threads(pool) * 4), ROWS_UNIT) * ROWS_UNIT;
  j.rows = bk_max(bk_min(j.rows, even), ROWS_UNIT);
  bk_pool_run(bk_pool_for(pool, work * (double)j.pixels), bk_ceil(j.pixels, j.rows), 1, body, &j);
  return atomic_load(&j.error);
}
