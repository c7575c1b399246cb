/// Batched f32 matrix products with arbitrary strides. Tiles of two panels of b are packed into scratch per k block.
#include <stdatomic.h>
#include <string.h>

#include "internal.h"

enum { TILE_M = 96, DOT_ROWS = 8, DIRECT_ROWS = 12 };

typedef struct {
  const bk_table *o;
  size_t m, n, k, row_tiles, column_tiles, tile_rows;
  bk_matrix a, b;
  float *c;
  ptrdiff_t c_batch, c_row;
  atomic_int error;
} job;

/// Columns [0, columns) of b, k rows, as one panel [k][16].
static void pack_b(const job *j, float *panel, const float *b, size_t columns, size_t k) {
  if (j->b.column == 1) {
    for (size_t i = 0; i < k; i++, panel += BK_PANEL) {
      const float *row = b + (ptrdiff_t)i * j->b.row;
      if (columns == BK_PANEL) {
        memcpy(panel, row, BK_PANEL * sizeof(float));
      } else {
        memcpy(panel, row, columns * sizeof(float));
        memset(panel + columns, 0, (BK_PANEL - columns) * sizeof(float));
      }
    }
  } else if (j->b.row == 1 && j->b.column >= 0 && columns == BK_PANEL) {
    bk_pack_panel(j->o, BK_F32, panel, BK_F32, b, (size_t)j->b.column, false, 0, BK_PANEL, k);
  } else {
    for (size_t i = 0; i < k; i++, panel += BK_PANEL)
      for (size_t c = 0; c < BK_PANEL; c++)
        panel[c] = c < columns ? b[(ptrdiff_t)i * j->b.row + (ptrdiff_t)c * j->b.column] : 0.0f;
  }
}

/// rows x k of a, row-major with rows k apart.
static void gather_a(const job *j, float *to, const float *a, size_t rows, size_t k) {
  for (size_t k0 = 0; k0 < k; k0 += 16)
    for (size_t r = 0; r < rows; r++)
      for (size_t i = k0; i < bk_min(k, k0 + 16); i++)
        to[r * k + i] = a[(ptrdiff_t)r * j->a.row + (ptrdiff_t)i * j->a.column];
}

typedef struct {
  float *a, *b;
} buffers;

static void sum_tile(const job *j, buffers s, const float *a, const float *b, size_t rows, size_t columns,
                     float *tile) {
  const bool a_direct = j->a.column == 1 && j->a.row >= 0;
  const bool b_direct = j->b.column == 1 && j->b.row >= 0 && j->m <= DIRECT_ROWS && columns == BK_TILE_N;
  if (j->k == 0) memset(tile, 0, rows * BK_TILE_N * sizeof(float));
  if (j->m <= DOT_ROWS && a_direct && j->b.row == 1 && j->b.column >= 0 && j->k > 0) {
    j->o->dots[BK_F32](rows, columns, j->k, a, (size_t)j->a.row, b, (size_t)j->b.column, tile, BK_TILE_N);
    return;
  }
  for (size_t k = 0, part; k < j->k; k += part) {
    const size_t panels = bk_ceil(columns, BK_PANEL);
    part = bk_sgemm_step(j->k, j->k - k);
    const float *ak = a + (ptrdiff_t)k * j->a.column, *bk = b + (ptrdiff_t)k * j->b.row;
    if (!a_direct) gather_a(j, s.a, ak, rows, part);
    for (size_t p = 0; p < panels && !b_direct; p++)
      pack_b(j, s.b + p * part * BK_PANEL, bk + (ptrdiff_t)(p * BK_PANEL) * j->b.column,
             bk_min(BK_PANEL, columns - p * BK_PANEL), part);
    bk_gemm_block(j->o, BK_F32, rows, panels, part, a_direct ? ak : s.a, a_direct ? (size_t)j->a.row : part,
                  b_direct ? bk : s.b, b_direct ? (size_t)j->b.row : BK_PANEL, b_direct ? BK_PANEL : part * BK_PANEL,
                  tile, BK_TILE_N, k > 0);
  }
}

static void body(void *ctx, size_t begin, size_t end) {
  job *j = ctx;
  _Alignas(64) float tile[TILE_M * BK_TILE_N];
  const size_t k_block = bk_sgemm_step(j->k, j->k) + 1;  // a second half may have one more
  buffers s = {bk_scratch(BK_SCRATCH_WORK, TILE_M * k_block * sizeof(float)),
               bk_scratch(BK_SCRATCH_WORK2, BK_TILE_N * k_block * sizeof(float))};
  if (!s.a || !s.b) {
    atomic_store(&j->error, BK_EMEMORY);
    return;
  }
  for (size_t t = begin; t < end; t++) {
    const size_t column = t % j->column_tiles * BK_TILE_N, row = t / j->column_tiles % j->row_tiles * j->tile_rows;
    const size_t batch = t / j->column_tiles / j->row_tiles;
    const size_t rows = bk_min(j->tile_rows, j->m - row), columns = bk_min(BK_TILE_N, j->n - column);
    const float *a = j->a.data + (ptrdiff_t)batch * j->a.batch + (ptrdiff_t)row * j->a.row;
    const float *b = j->b.data + (ptrdiff_t)batch * j->b.batch + (ptrdiff_t)column * j->b.column;
    float *c = j->c + (ptrdiff_t)batch * j->c_batch + (ptrdiff_t)row * j->c_row + column;
    sum_tile(j, s, a, b, rows, columns, tile);
    for (size_t r = 0; r < rows; r++)
      memcpy(c + (ptrdiff_t)r * j->c_row, tile + r * BK_TILE_N, columns * sizeof(float));
  }
}

int bk_matmul_f32(bk_pool *pool, size_t batches, size_t m, size_t n, size_t k, bk_matrix a, bk_matrix b, float *c,
                  ptrdiff_t c_batch, ptrdiff_t c_row) {
  if (batches == 0 || m == 0 || n == 0) return BK_OK;
  const double work = (double)batches * (double)m * (double)n * (double)bk_max(k, 1);
  pool = bk_pool_for(pool, work);
  job j = {.o = bk_ops(), .m = m, .n = n, .k = k, .a = a, .b = b, .c = c, .c_batch = c_batch, .c_row = c_row};
  j.tile_rows = bk_min(m, TILE_M);
  j.column_tiles = bk_ceil(n, BK_TILE_N);
  while (j.tile_rows > 24 && batches * j.column_tiles * bk_ceil(m, j.tile_rows) < 2 * (size_t)bk_pool_threads(pool))
    j.tile_rows = j.tile_rows / 2;
  j.row_tiles = bk_ceil(m, j.tile_rows);
  const size_t tiles = batches * j.row_tiles * j.column_tiles;
  bk_pool_run(pool, tiles, bk_grain(pool, tiles, work / (double)tiles, 5e4), body, &j);
  return atomic_load(&j.error);
}
