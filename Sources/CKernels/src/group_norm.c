/// Group normalization of images, channels innermost: moments of each channel, then of groups, then one pass of
/// multiply-adds.
#include <math.h>
#include <string.h>

#include "internal.h"

enum {
  CHUNKS = 256,  ///< parts at most that moments are summed over; no result depends on the number of threads
  RUN = 32       ///< pixels that are summed in float32 before they are added up in double
};

typedef struct {
  const bk_table *o;
  const float *x;  ///< one image
  float *y;
  size_t pixels, channels, chunk;
  double *moments;      ///< [chunks][2][channels]: sums and sums of squares from the origin
  const float *origin;  ///< the first pixel
  float *runs;          ///< [chunks][2][channels]
  const float *center, *factor, *term;
  bool silu;
} job;

static void sum_body(void *ctx, size_t begin, size_t end) {
  const job *j = ctx;
  for (size_t t = begin; t < end; t++) {
    double *total = j->moments + t * 2 * j->channels;
    float *run = j->runs + t * 2 * j->channels;
    const size_t last = bk_min((t + 1) * j->chunk, j->pixels);
    memset(total, 0, 2 * j->channels * sizeof(double));
    for (size_t pixel = t * j->chunk; pixel < last;) {
      memset(run, 0, 2 * j->channels * sizeof(float));
      for (const size_t stop = bk_min(pixel + RUN, last); pixel < stop; pixel++)
        j->o->moments(run, run + j->channels, j->x + pixel * j->channels, j->origin, j->channels);
      for (size_t c = 0; c < 2 * j->channels; c++) total[c] += (double)run[c];
    }
  }
}

static void apply_body(void *ctx, size_t begin, size_t end) {
  const job *j = ctx;
  for (size_t i = begin; i < end; i++)
    j->o->affine(j->y + i * j->channels, j->x + i * j->channels, j->center, j->factor, j->term, j->silu, j->channels);
}

/// The center, the factor and the term of each channel of a group of `size` channels from `first` on.
static void group(const job *j, size_t chunks, size_t first, size_t size, const float *gamma, const float *beta,
                  float eps, float *center, float *factor, float *term) {
  const double count = (double)j->pixels;
  double mean = 0, squares = 0;
  for (size_t c = first; c < first + size; c++) {
    for (size_t t = 1; t < chunks; t++) {
      j->moments[c] += j->moments[t * 2 * j->channels + c];
      j->moments[j->channels + c] += j->moments[t * 2 * j->channels + j->channels + c];
    }
    mean += ((double)j->origin[c] + j->moments[c] / count) / (double)size;
  }
  // Each channel's squares about its own mean, and that mean's distance from the group's.
  for (size_t c = first; c < first + size; c++) {
    const double offset = j->moments[c] / count, distance = (double)j->origin[c] + offset - mean;
    squares += (j->moments[j->channels + c] - j->moments[c] * offset) + count * distance * distance;
  }
  const double rstd = 1 / sqrt(squares / count / (double)size + (double)eps);
  for (size_t c = first; c < first + size; c++) {
    const double scale = rstd * (gamma ? (double)gamma[c] : 1);
    // Pixels that are all the same come to exactly beta; what the mean loses by rounding goes into the term.
    center[c] = (float)mean;
    factor[c] = (float)scale;
    term[c] = (float)((beta ? (double)beta[c] : 0) - (mean - (double)center[c]) * scale);
  }
}

int bk_group_norm(bk_pool *pool, float *y, const float *x, size_t batch, size_t pixels, size_t channels, size_t groups,
                  const float *gamma, const float *beta, float eps, bool silu) {
  if (batch == 0 || pixels == 0 || channels == 0) return BK_OK;
  job j = {.o = bk_ops(), .pixels = pixels, .channels = channels, .silu = silu};
  j.chunk = bk_max(bk_ceil(pixels, CHUNKS), RUN);
  const size_t chunks = bk_ceil(pixels, j.chunk), size = channels / groups;
  char *scratch = bk_scratch(BK_SCRATCH_CALL, channels * (chunks * 2 * (sizeof(double) + sizeof(float)) + 16));
  if (!scratch) return BK_EMEMORY;
  j.moments = (double *)(void *)scratch;
  j.runs = (float *)(void *)(j.moments + chunks * 2 * channels);
  float *origin = j.runs + chunks * 2 * channels, *center = origin + channels, *factor = center + channels;
  float *term = factor + channels;
  j.origin = origin;
  j.center = center;
  j.factor = factor;
  j.term = term;
  pool = bk_pool_for(pool, 4.0 * (double)pixels * (double)channels);
  for (size_t b = 0; b < batch; b++) {
    j.x = x + b * pixels * channels;
    j.y = y + b * pixels * channels;
    memcpy(origin, j.x, channels * sizeof(float));
    bk_pool_run(pool, chunks, bk_grain(pool, chunks, 2.0 * (double)(j.chunk * channels), 1e5), sum_body, &j);
    for (size_t c = 0; c < channels; c += size) group(&j, chunks, c, size, gamma, beta, eps, center, factor, term);
    bk_pool_run(pool, pixels, bk_grain(pool, pixels, 4.0 * (double)channels, 1e5), apply_body, &j);
  }
  return BK_OK;
}
