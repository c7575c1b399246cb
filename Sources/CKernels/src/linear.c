/// Linear layers: y = act(x . w^T + bias) + residual, on packed and on row-major weights.
///
/// Output is cut into tiles of up to BK_TILE_M_MAX rows and two panels (32 columns). A tile's sums are kept in a buffer
/// while k goes by in blocks, then bias, activation and residual are applied from there. However the tiles are cut,
/// every output element is the same chain of additions: products are summed from zero in each block and blocks added up
/// (as PyTorch, onto the bias), bf16 pairs go on from block to block.
#include <stdatomic.h>
#include <string.h>

#include "internal.h"

enum {
  K_BLOCK = 1024,       ///< k (or k pairs) of a block at most, when k is long
  K_WHOLE = 2048,       ///< up to here k is not blocked
  K_SGEMM = 192,        ///< k of a block of float32, as in Intel's MKL
  K_ONEDNN = 512,       ///< k of a block of bf16, as in oneDNN; twice as many when k is more than twice that
  A_BYTES = 800 << 10,  ///< bytes of x that a tile goes through in one k block: a part of the second-level cache
  DOT_ROWS = 8,         ///< rows of x up to which row-major weights are streamed
  ROW_COLUMNS = 64,     ///< columns that are computed at a time when x has one row
  ROW_LEAST = 64 << 10, ///< weights of a range of them at least, in bytes
  ROW_MOST = 256 << 10, ///< weights of a task at most: threads end within the time that one takes to read them
  FEW_ROWS = 4,         ///< rows of x up to which bf16 products avoid tiles
  ALIAS_BYTES = 2048,   ///< row strides that are multiples of this collide in the first-level cache
};

typedef struct {
  const bk_table *o;
  const bk_linear_args *g;
  bk_gemm_pairs_fn *pairs;  ///< NULL: f32 arithmetic
  size_t pairs_rows;
  bk_dtype type;  ///< of the panels
  const float *a;  ///< x, or its copy: f32 or bf16 pairs
  size_t lda;
  size_t units;  ///< k, or k pairs
  size_t panel_stride, tile_rows, row_tiles, column_tiles, row_columns;
  atomic_int error;
} job;

void bk_gemm_block(const bk_table *o, int type, size_t rows, size_t panels, size_t k, const float *a, size_t lda,
                   const void *b, size_t k_stride, size_t panel_stride, float *c, size_t ldc, bool accumulate) {
  const size_t pieces = bk_ceil(rows, (size_t)o->gemm_rows), size = type == BK_F32 ? 4 : 2;
  const size_t step = rows <= 2 ? 4 : 2;
  for (size_t p = 0; p < panels; p += step) {
    for (size_t i = 0; i < pieces; i++) {
      size_t first = rows * i / pieces, last = rows * (i + 1) / pieces;
      o->gemm[type]((int)(last - first), (int)bk_min(panels - p, step), k, a + first * lda, lda,
                    (const char *)b + p * panel_stride * size, k_stride, panel_stride, c + first * ldc + p * BK_PANEL,
                    ldc, accumulate);
    }
  }
}

size_t bk_sgemm_step(size_t k, size_t left) {
  if (left <= K_SGEMM || (k < 2 * K_SGEMM && left < k)) return left;
  return k < 2 * K_SGEMM ? k / 2 : K_SGEMM;
}

/// Length of the next k block when `left` of all units are.
static size_t k_step(const job *j, size_t left) {
  if (j->g->compute == BK_COMPUTE_PYTORCH_BF16) return bk_min(left, j->units > 2 * K_ONEDNN ? 2 * K_ONEDNN : K_ONEDNN);
  if (j->g->compute == BK_COMPUTE_PYTORCH_F32) return bk_sgemm_step(j->units, left);
  if (j->units <= K_WHOLE) return left;
  return bk_min(left, bk_ceil(bk_ceil(j->units, bk_ceil(j->units, K_BLOCK)), 16) * 16);
}

/// Whether sums begin with the bias, as those of MKL's sgemm do; else it is added to them.
static bool begins_with_bias(const job *j) {
  return j->g->bias && j->g->compute == BK_COMPUTE_PYTORCH_F32;
}

/// What is left to do with a tile's sums.
static bk_linear_args after_sums(const job *j) {
  bk_linear_args g = *j->g;
  if (begins_with_bias(j)) g.bias = NULL;
  return g;
}

static void fill_bias(const job *j, float *tile, size_t stride, size_t rows, size_t column, size_t columns) {
  for (size_t r = 0; r < rows; r++) memcpy(tile + r * stride, j->g->bias + column, columns * sizeof(float));
}

/// Sums of one tile from packed panels, onto what is there if `accumulate`.
static void tile_sums(const job *j, const void *b, size_t panels, size_t row, size_t rows, float *tile,
                      bool accumulate) {
  const bk_dtype type = j->type;
  if (j->units == 0 && !accumulate) memset(tile, 0, rows * BK_TILE_N * sizeof(float));
  for (size_t k = 0, part; k < j->units; k += part) {
    part = k_step(j, j->units - k);
    const float *a = j->a + row * j->lda;
    if (!j->pairs) {
      bk_gemm_block(j->o, type, rows, panels, part, a + k, j->lda, (const char *)b + k * BK_PANEL * bk_dtype_size(type),
                    type == BK_BF16 ? 2 * BK_PANEL : BK_PANEL, j->panel_stride, tile, BK_TILE_N, accumulate || k > 0);
      continue;
    }
    const size_t pieces = bk_ceil(rows, j->pairs_rows);
    for (size_t i = 0; i < pieces; i++) {
      size_t first = rows * i / pieces, last = rows * (i + 1) / pieces;
      j->pairs((int)(last - first), (int)panels, part, (const uint32_t *)(const void *)(a + first * j->lda) + k, j->lda,
               (const uint16_t *)b + k * 2 * BK_PANEL, j->panel_stride, tile + first * BK_TILE_N, BK_TILE_N, k > 0);
    }
  }
}

static void finish_tile(const job *j, const void *b, size_t column_tile, size_t row) {
  _Alignas(64) float tile[BK_TILE_M_MAX * BK_TILE_N];
  const size_t column = column_tile * BK_TILE_N, columns = bk_min(BK_TILE_N, j->g->n - column);
  const size_t rows = bk_min(j->tile_rows, j->g->m - row);
  const bk_linear_args after = after_sums(j);
  if (begins_with_bias(j)) {
    memset(tile, 0, rows * BK_TILE_N * sizeof(float));
    fill_bias(j, tile, BK_TILE_N, rows, column, columns);
  }
  tile_sums(j, b, bk_ceil(columns, BK_PANEL), row, rows, tile, begins_with_bias(j));
  j->o->epilogue(&after, tile, row, rows, column, columns);
}

static void packed_body(void *ctx, size_t begin, size_t end) {
  job *j = ctx;
  const size_t size = bk_dtype_size(j->g->w_type);
  for (size_t t = begin; t < end; t++) {
    size_t row_tile = t / j->column_tiles, column_tile = t % j->column_tiles;
    finish_tile(j, (const char *)j->g->w + column_tile * 2 * j->panel_stride * size, column_tile,
                row_tile * j->tile_rows);
  }
}

/// Packed weights, one row of x: panels, four at a time.
static void row_body(void *ctx, size_t begin, size_t end) {
  const job *j = ctx;
  const bk_linear_args *g = j->g;
  const size_t size = bk_dtype_size(g->w_type), k_stride = g->w_type == BK_BF16 ? 2 * BK_PANEL : BK_PANEL;
  _Alignas(64) float tile[ROW_COLUMNS] = {0};
  const bk_linear_args after = after_sums(j);
  const bool begins = begins_with_bias(j);
  const size_t last = bk_min(end * j->row_columns, g->n);
  for (size_t column = begin * j->row_columns; column < last; column += ROW_COLUMNS) {
    const size_t columns = bk_min(ROW_COLUMNS, last - column);
    const int panels = (int)bk_ceil(columns, BK_PANEL);
    const char *w = (const char *)g->w + column / BK_PANEL * j->panel_stride * size;
    if (j->pairs)
      j->pairs(1, panels, j->units, (const uint32_t *)(const void *)j->a, j->lda, w, j->panel_stride, tile, ROW_COLUMNS,
               false);
    else if (begins)
      fill_bias(j, tile, ROW_COLUMNS, 1, column, columns);
    if (!j->pairs)
      for (size_t k = 0, part; k < j->units; k += part) {
        part = k_step(j, j->units - k);
        j->o->gemm[g->w_type](1, panels, part, j->a + k, j->lda, w + k * BK_PANEL * size, k_stride, j->panel_stride,
                              tile, ROW_COLUMNS, begins || k > 0);
      }
    j->o->epilogue(&after, tile, 0, 1, column, columns);
  }
}

/// One panel of row-major weights; in oneDNN's order two k change places, and an odd last one follows a zero.
static void pack_rows(const job *j, char *panel, size_t column) {
  const bk_linear_args *g = j->g;
  bk_pack_panel(j->o, j->type, panel, g->w_type, g->w, g->w_stride, false, column, g->n, g->k);
  if (g->compute != BK_COMPUTE_PYTORCH_BF16) return;
  float *row = (float *)(void *)panel, swapped[BK_PANEL];
  if (g->k % 2 == 1) memset(row + g->k * BK_PANEL, 0, sizeof swapped);
  for (size_t k = 0; k < j->units; k += 2, row += 2 * BK_PANEL) {
    memcpy(swapped, row, sizeof swapped);
    memcpy(row, row + BK_PANEL, sizeof swapped);
    memcpy(row + BK_PANEL, swapped, sizeof swapped);
  }
}

/// Row-major weights, many rows of x: two panels are packed, then used for all rows.
static void repack_body(void *ctx, size_t begin, size_t end) {
  job *j = ctx;
  const bk_linear_args *g = j->g;
  const size_t bytes = j->panel_stride * bk_dtype_size(j->type);
  char *panels = bk_scratch(BK_SCRATCH_WORK, 2 * bytes);
  if (!panels) {
    atomic_store(&j->error, BK_EMEMORY);
    return;
  }
  for (size_t t = begin; t < end; t++) {
    for (size_t p = 0; p < 2 && t * BK_TILE_N + p * BK_PANEL < g->n; p++)
      pack_rows(j, panels + p * bytes, t * BK_TILE_N + p * BK_PANEL);
    for (size_t row = 0; row < g->m; row += j->tile_rows) finish_tile(j, panels, t, row);
  }
}

/// Row-major weights, few rows of x, or sums side by side: dot products along the rows of w.
static void dots_body(void *ctx, size_t begin, size_t end) {
  const job *j = ctx;
  const bk_linear_args *g = j->g;
  bk_dots_fn *dots = (g->compute == BK_COMPUTE_PYTORCH_F16 ? j->o->dots_lanes : j->o->dots)[g->w_type];
  _Alignas(64) float tile[DOT_ROWS * BK_TILE_N];
  memset(tile, 0, sizeof tile);
  for (size_t t = begin; t < end; t++) {
    const size_t column = t * BK_TILE_N, columns = bk_min(BK_TILE_N, g->n - column);
    const char *w = (const char *)g->w + column * g->w_stride * bk_dtype_size(g->w_type);
    for (size_t row = 0, rows; row < g->m; row += rows) {
      rows = bk_min(g->m - row, DOT_ROWS);
      dots(rows, columns, g->k, j->a + row * j->lda, j->lda, w, g->w_stride, tile, BK_TILE_N);
      j->o->epilogue(g, tile, row, rows, column, columns);
    }
  }
}

/// Copies rows of x into scratch: as they are, two and two exchanged, rounded to bf16 (pairs), or rounded and widened
/// again.
typedef struct {
  const job *j;
  float *copy;
} copy_job;

static void copy_body(void *ctx, size_t begin, size_t end) {
  const copy_job *c = ctx;
  const job *j = c->j;
  const bk_linear_args *g = j->g;
  for (size_t r = begin; r < end; r++) {
    const float *x = g->x + r * g->x_stride;
    float *to = c->copy + r * j->lda;
    if (g->compute == BK_COMPUTE_PYTORCH_BF16) {
      for (size_t i = 0; i < j->units; i += 2) {
        to[i] = i + 1 < g->k ? x[i + 1] : 0.0f;
        to[i + 1] = x[i];
      }
    } else if (g->compute != BK_COMPUTE_BF16) {
      memcpy(to, x, g->k * sizeof(float));
    } else if (j->pairs) {
      memset(to + g->k / 2, 0, (j->lda - g->k / 2) * sizeof(float));
      j->o->convert[BK_BF16][BK_F32](to, x, g->k);
    } else {
      uint16_t rounded[256];
      for (size_t i = 0; i < g->k; i += 256) {
        j->o->convert[BK_BF16][BK_F32](rounded, x + i, bk_min(256, g->k - i));
        j->o->convert[BK_F32][BK_BF16](to + i, rounded, bk_min(256, g->k - i));
      }
    }
  }
}

/// Decides where the kernels read x from; copies it when they need another form or a better stride.
static int prepare_x(bk_pool *pool, job *j) {
  const bk_linear_args *g = j->g;
  const bool collides = g->m >= 8 && g->n >= 256 && g->x_stride * sizeof(float) % ALIAS_BYTES == 0;
  j->a = g->x;
  j->lda = g->x_stride;
  const bool is_copied = g->compute == BK_COMPUTE_BF16 || g->compute == BK_COMPUTE_PYTORCH_BF16;
  if (!is_copied && !collides) return BK_OK;
  size_t length = j->pairs ? bk_ceil(g->k, 2) : j->units;
  j->lda = bk_ceil(length, 16) * 16 + 16;
  if (g->m > SIZE_MAX / sizeof(float) / j->lda) return BK_EMEMORY;
  float *copy = bk_scratch(BK_SCRATCH_CALL, g->m * j->lda * sizeof(float));
  if (!copy) return BK_EMEMORY;
  copy_job c = {j, copy};
  bk_pool_run(bk_pool_for(pool, (double)g->m * (double)g->k), g->m, bk_grain(pool, g->m, (double)g->k, 2e4), copy_body,
              &c);
  j->a = copy;
  return BK_OK;
}

/// Tiles as tall as the caches allow, but enough of them for the threads.
static void cut_tiles(const bk_pool *pool, job *j) {
  const size_t m = bk_max(j->g->m, 1), threads = (size_t)bk_pool_threads(pool);
  const size_t unit = j->pairs ? j->pairs_rows : (size_t)j->o->gemm_rows;
  const size_t tallest = bk_min(BK_TILE_M_MAX, A_BYTES / sizeof(float) / bk_max(k_step(j, j->units), 1));
  size_t pieces = bk_ceil(m, bk_max(tallest / unit, 1) * unit);
  if (threads > 1)
    while (j->column_tiles * pieces < 4 * threads && bk_ceil(m, pieces) > unit) pieces++;
  j->tile_rows = bk_ceil(bk_ceil(m, pieces), unit) * unit;
  if (j->tile_rows > m) j->tile_rows = m;
  j->row_tiles = bk_ceil(m, j->tile_rows);
}

static int run(bk_pool *pool, const bk_linear_args *g, bool packed) {
  const bool has_lanes = g->compute == BK_COMPUTE_PYTORCH_F16, has_turns = g->compute == BK_COMPUTE_PYTORCH_BF16;
  const bool widens = has_turns || g->compute == BK_COMPUTE_PYTORCH_F32;
  const bool needs_rows = has_lanes || has_turns || (widens && g->w_type != BK_F32);
  if ((g->compute == BK_COMPUTE_BF16 && g->w_type != BK_BF16) || (packed && needs_rows)) return BK_EARGUMENT;
  if (g->m == 0 || g->n == 0) return BK_OK;
  const double work = (double)g->m * (double)g->n * (double)bk_max(g->k, 1);
  const bool dots = !packed && (has_lanes || (g->m <= DOT_ROWS && !widens));
  pool = bk_pool_for(pool, work);
  job j = {.o = bk_ops(), .g = g, .units = has_turns ? (g->k + 1) / 2 * 2 : g->k};
  j.type = widens ? BK_F32 : g->w_type;
  if (g->compute == BK_COMPUTE_BF16 && j.o->gemm_pairs && !dots) {
    bool few = g->m <= FEW_ROWS && j.o->few_pairs;
    j.pairs = few ? j.o->few_pairs : j.o->gemm_pairs;
    j.pairs_rows = (size_t)(few ? j.o->few_rows : j.o->pairs_rows);
    j.units = (g->k + 1) / 2;
  }
  j.panel_stride = (j.type == BK_BF16 ? (g->k + 1) / 2 * 2 : j.units) * BK_PANEL;
  j.column_tiles = bk_ceil(g->n, BK_TILE_N);
  int error = prepare_x(pool, &j);
  if (error) return error;
  cut_tiles(pool, &j);
  const double tile_work = work / (double)j.column_tiles;
  bk_pool_expect(pool, NULL, 0);
  if (packed && g->m == 1) {
    const size_t column_bytes = bk_max(j.panel_stride / BK_PANEL * bk_dtype_size(g->w_type), 1);
    j.row_columns = ROW_COLUMNS * column_bytes <= ROW_MOST ? ROW_COLUMNS : ROW_COLUMNS / 2;
    bk_pool_run(pool, bk_ceil(g->n, j.row_columns), bk_ceil(ROW_LEAST, j.row_columns * column_bytes), row_body, &j);
  } else if (packed) {
    const size_t tiles = j.column_tiles * j.row_tiles;
    bk_pool_run(pool, tiles, bk_grain(pool, tiles, tile_work / (double)j.row_tiles, 5e4), packed_body, &j);
  } else {
    bk_pool_run(pool, j.column_tiles, bk_grain(pool, j.column_tiles, tile_work, 5e4), dots ? dots_body : repack_body,
                &j);
  }
  // Products with few rows take as long as their weights take to read.
  if (g->m <= FEW_ROWS) bk_pool_expect(pool, g->next, g->next_bytes);
  return atomic_load(&j.error);
}

int bk_linear(bk_pool *pool, const bk_linear_args *args) { return run(pool, args, true); }

int bk_linear_rows(bk_pool *pool, const bk_linear_args *args) { return run(pool, args, false); }
