/// Attention by blocks of queries and keys with a streaming softmax (Milakov and Gimelshein 2018; Dao et al. 2022).
///
/// The query heads that share a key head form one matrix of rows: row r is query r / group of head r % group. Few rows
/// (decoding) read k and v in place, once for all rows; otherwise blocks of k and v are packed into panels. As PyTorch,
/// each query head is a matrix of its own.
#include <float.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "internal.h"

enum {
  ROW_BLOCK = 128,  ///< rows of a block at most
  ROW_MOST = 256,   ///< the same as PyTorch
  KEY_BLOCK = 128,  ///< keys of a block
  FEW_ROWS = 8,     ///< rows in all up to which k and v are read in place
  FEW_KEY_BLOCK = 64,
  PYTORCH_KEY_BLOCK = 512,
};

typedef struct {
  const bk_table *o;
  const bk_attention_args *g;
  size_t group;   ///< query heads that form a matrix
  size_t shares;  ///< such matrices that read the same keys
  size_t rows, row_block, row_blocks, key_block, v_panels;
  size_t kv_size;  ///< bytes of an element of k and v
  bool few;
  atomic_int error;
} job;

/// Scratch of one block of rows.
typedef struct {
  float *q;       ///< [rows][depth], scaled
  float *scores;  ///< [rows][key_block]
  float *sums;    ///< [rows][v_panels * 16]
  float *k;       ///< packed [keys / 16][depth][16]
  float *v;       ///< packed [v_panels][keys][16]
  float max[ROW_MOST], total[ROW_MOST];
  size_t score_stride, sum_stride;
} block;

/// Where a block of rows belongs.
typedef struct {
  size_t batch, kv_head, q_head, first, rows;
  const char *k, *v;
} place;

static size_t query_of(const job *j, size_t row) { return row / j->group; }
static size_t head_of(const job *j, const place *at, size_t row) { return at->q_head + row % j->group; }

/// How many keys, from the first on, the row may see.
static size_t visible_keys(const job *j, size_t row) {
  const bk_attention_args *g = j->g;
  if (!g->causal) return g->keys;
  ptrdiff_t last = (ptrdiff_t)query_of(j, row) + (ptrdiff_t)g->keys - (ptrdiff_t)g->queries;
  return last < 0 ? 0 : bk_min((size_t)last + 1, g->keys);
}

static void load_queries(const job *j, const place *at, block *s) {
  const bk_attention_args *g = j->g;
  for (size_t r = 0; r < at->rows; r++) {
    const size_t row = at->first + r;
    const float *q = g->q + (ptrdiff_t)at->batch * g->q_strides.batch +
                     (ptrdiff_t)head_of(j, at, row) * g->q_strides.head +
                     (ptrdiff_t)query_of(j, row) * g->q_strides.sequence;
    j->o->scale(s->q + r * g->depth, q, g->as_pytorch ? 1.0f : g->scale, g->depth);
    s->max[r] = -INFINITY;
    s->total[r] = 0.0f;
  }
}

/// Asks for keys or values that are gone through next.
static void fetch(const job *j, const char *data, size_t first, size_t count, bk_strides3 strides, size_t depth) {
  const ptrdiff_t stride = strides.sequence * (ptrdiff_t)j->kv_size;
  for (size_t t = first; t < first + count; t++)
    for (size_t d = 0; d < depth * j->kv_size; d += 64) __builtin_prefetch(data + (ptrdiff_t)t * stride + d, 0, 3);
}

/// Sums of rows of a times packed panels of b, k in the blocks of other products of float32.
static void multiply(const job *j, size_t rows, size_t panels, size_t depth, const float *a, size_t lda, const float *b,
                     float *c, size_t ldc, bool accumulate) {
  for (size_t k = 0, part; k < depth; k += part) {
    part = bk_sgemm_step(depth, depth - k);
    bk_gemm_block(j->o, BK_F32, rows, panels, part, a + k, lda, b + k * BK_PANEL, BK_PANEL, depth * BK_PANEL, c, ldc,
                  accumulate || k > 0);
  }
}

static void score(const job *j, const place *at, block *s, size_t key, size_t keys) {
  const bk_attention_args *g = j->g;
  const size_t stride = (size_t)g->k_strides.sequence;
  const char *k = at->k + key * stride * j->kv_size;
  if (g->depth == 0) {
    memset(s->scores, 0, at->rows * s->score_stride * sizeof(float));
  } else if (j->few) {
    fetch(j, at->v, key, keys, g->v_strides, g->v_depth);
    j->o->dots[g->kv_type](at->rows, keys, g->depth, s->q, g->depth, k, stride, s->scores, s->score_stride);
  } else {
    const size_t panels = bk_ceil(keys, BK_PANEL), panel = g->depth * BK_PANEL;
    for (size_t p = 0; p < panels; p++)
      bk_pack_panel(j->o, BK_F32, s->k + p * panel, g->kv_type, k, stride, false, p * BK_PANEL, keys, g->depth);
    multiply(j, at->rows, panels, g->depth, s->q, g->depth, s->k, s->scores, s->score_stride, false);
    for (size_t r = 0; r < at->rows && g->as_pytorch; r++)
      j->o->scale(s->scores + r * s->score_stride, s->scores + r * s->score_stride, g->scale, keys);
  }
}

static void mask_scores(const job *j, const place *at, block *s, size_t key, size_t keys) {
  const bk_attention_args *g = j->g;
  for (size_t r = 0; r < at->rows; r++) {
    const size_t row = at->first + r, visible = visible_keys(j, row);
    const size_t here = visible <= key ? 0 : bk_min(visible - key, keys);
    if (g->mask_kind == BK_MASK_NONE && here == keys) continue;
    const ptrdiff_t offset = (ptrdiff_t)at->batch * g->mask_strides[0] +
                             (ptrdiff_t)head_of(j, at, row) * g->mask_strides[1] +
                             (ptrdiff_t)query_of(j, row) * g->mask_strides[2] + (ptrdiff_t)key * g->mask_strides[3];
    const void *mask = g->mask_kind == BK_MASK_BOOL  ? (const void *)((const uint8_t *)g->mask + offset)
                       : g->mask_kind == BK_MASK_F32 ? (const void *)((const float *)g->mask + offset)
                                                     : NULL;
    j->o->mask(s->scores + r * s->score_stride, keys, here, g->mask_kind, mask, g->mask_strides[3]);
  }
}

/// Rounds weights to the type of the values.
static void round_row(const job *j, float *x, size_t n) {
  uint16_t rounded[PYTORCH_KEY_BLOCK];
  j->o->convert[j->g->value_type][BK_F32](rounded, x, n);
  j->o->convert[BK_F32][j->g->value_type](x, rounded, n);
}

/// Weights times values onto the sums.
static void add_values(const job *j, const place *at, block *s, size_t key, size_t keys) {
  const bk_attention_args *g = j->g;
  const size_t stride = (size_t)g->v_strides.sequence, panel = keys * BK_PANEL;
  const char *v = at->v + key * stride * j->kv_size;
  const size_t direct = j->few ? g->v_depth / BK_PANEL : 0;
  for (size_t r = 0; r < at->rows; r++) {
    float *scores = s->scores + r * s->score_stride, *sums = s->sums + r * s->sum_stride;
    float before = g->as_pytorch
                       ? j->o->softmax_pytorch(scores, keys, &s->max[r], &s->total[r], g->value_type != BK_F32)
                       : j->o->softmax_step(scores, keys, &s->max[r], &s->total[r]);
    if (g->as_pytorch && g->value_type != BK_F32) round_row(j, scores, keys);
    if (key > 0 && before != 1.0f) j->o->scale(sums, sums, before, s->sum_stride);
  }
  if (direct > 0)
    bk_gemm_block(j->o, g->kv_type == BK_F32 ? BK_F32 : BK_BF16_ROWS, at->rows, direct, keys, s->scores,
                  s->score_stride, v, stride, BK_PANEL, s->sums, s->sum_stride, key > 0);
  if (direct == j->v_panels) return;
  for (size_t p = direct; p < j->v_panels; p++)
    bk_pack_panel(j->o, BK_F32, s->v + (p - direct) * panel, g->kv_type, v, stride, true, p * BK_PANEL, g->v_depth,
                  keys);
  multiply(j, at->rows, j->v_panels - direct, keys, s->scores, s->score_stride, s->v, s->sums + direct * BK_PANEL,
           s->sum_stride, key > 0);
}

/// True when some row has met no key that is not masked.
static bool some_row_masked(const block *s, size_t rows) {
  for (size_t r = 0; r < rows; r++)
    if (s->max[r] <= -FLT_MAX) return true;
  return false;
}

static void attend(const job *j, const place *at, block *s) {
  const bk_attention_args *g = j->g;
  const size_t step = j->key_block, reach = visible_keys(j, at->first + at->rows - 1);
  load_queries(j, at, s);
  for (size_t key = 0; key < g->keys; key += step) {
    if (key >= reach && !some_row_masked(s, at->rows)) break;
    const size_t keys = bk_min(step, g->keys - key);
    score(j, at, s, key, keys);
    mask_scores(j, at, s, key, keys);
    if (j->few && key + keys < g->keys)
      fetch(j, at->k, key + keys, bk_min(step, g->keys - key - keys), g->k_strides, g->depth);
    add_values(j, at, s, key, keys);
  }
  for (size_t r = 0; r < at->rows; r++) {
    const size_t row = at->first + r;
    float *out = g->out + (ptrdiff_t)at->batch * g->out_strides.batch +
                 (ptrdiff_t)head_of(j, at, row) * g->out_strides.head +
                 (ptrdiff_t)query_of(j, row) * g->out_strides.sequence;
    if (g->keys == 0)
      memset(out, 0, g->v_depth * sizeof(float));
    else
      j->o->scale(out, s->sums + r * s->sum_stride, 1.0f / s->total[r], g->v_depth);
  }
}

/// The keys or values of the head.
static const char *head(const job *j, const void *data, bk_strides3 strides, const place *at) {
  const ptrdiff_t offset = (ptrdiff_t)at->batch * strides.batch + (ptrdiff_t)at->kv_head * strides.head;
  return (const char *)data + offset * (ptrdiff_t)j->kv_size;
}

/// A matrix of query heads.
static place place_of(const job *j, size_t pair) {
  const size_t matrices = j->g->kv_heads * j->shares, matrix = pair % matrices;
  return (place){.batch = pair / matrices, .kv_head = matrix / j->shares, .q_head = matrix * j->group};
}

static size_t lines(size_t floats) { return bk_ceil(floats, 16) * 16; }

static void body(void *ctx, size_t begin, size_t end) {
  job *j = ctx;
  const bk_attention_args *g = j->g;
  const size_t step = j->key_block, rows = j->row_block;
  block s = {.score_stride = step + 16, .sum_stride = j->v_panels * BK_PANEL};
  const size_t q = lines(rows * g->depth), scores = rows * s.score_stride, sums = rows * s.sum_stride;
  const size_t k = j->few ? 0 : step * g->depth, v = step * s.sum_stride;
  s.q = bk_scratch(BK_SCRATCH_WORK, (q + scores + sums + k + v) * sizeof(float));
  if (!s.q) {
    atomic_store(&j->error, BK_EMEMORY);
    return;
  }
  s.scores = s.q + q;
  s.sums = s.scores + scores;
  s.k = s.sums + sums;
  s.v = s.k + k;
  for (size_t t = begin; t < end; t++) {
    const size_t pair = t / j->row_blocks;
    place at = place_of(j, pair);
    // Late rows see the most keys when causal: they come first, which evens out the threads.
    at.first = (j->row_blocks - 1 - t % j->row_blocks) * j->row_block;
    at.rows = bk_min(j->row_block, j->rows - at.first);
    at.k = head(j, g->k, g->k_strides, &at);
    at.v = head(j, g->v, g->v_strides, &at);
    if (j->few && t + 1 < end) {
      place next = place_of(j, t + 1);
      fetch(j, head(j, g->k, g->k_strides, &next), 0, bk_min(step, g->keys), g->k_strides, g->depth);
    }
    attend(j, &at, &s);
  }
}

int bk_attention(bk_pool *pool, const bk_attention_args *g) {
  if (g->batch == 0 || g->q_heads == 0 || g->queries == 0 || g->v_depth == 0) return BK_OK;
  if (g->kv_heads == 0 || g->q_heads % g->kv_heads != 0) return BK_EARGUMENT;
  if (g->kv_type != BK_F32 && g->kv_type != BK_BF16) return BK_EARGUMENT;
  if (g->k_strides.sequence < 0 || g->v_strides.sequence < 0) return BK_EARGUMENT;
  job j = {.o = bk_ops(), .g = g, .group = g->q_heads / g->kv_heads, .shares = 1};
  if (g->as_pytorch) {
    j.shares = j.group;
    j.group = 1;
  }
  j.kv_size = bk_dtype_size(g->kv_type);
  j.rows = j.group * g->queries;
  j.v_panels = bk_ceil(g->v_depth, BK_PANEL);
  j.few = j.rows <= FEW_ROWS && !g->as_pytorch;
  j.key_block = j.few ? FEW_KEY_BLOCK : g->as_pytorch ? PYTORCH_KEY_BLOCK : KEY_BLOCK;
  j.row_block = bk_min(j.rows, ROW_BLOCK);
  if (g->as_pytorch) j.row_block = bk_min(j.rows, j.rows >= 768 ? ROW_MOST : j.rows >= 192 ? 64 : 32);
  const size_t pairs = g->batch * g->kv_heads * j.shares, threads = (size_t)bk_pool_threads(pool);
  while (!g->as_pytorch && threads > 1 && j.row_block > 24 && pairs * bk_ceil(j.rows, j.row_block) < 2 * threads)
    j.row_block /= 2;
  j.row_blocks = bk_ceil(j.rows, j.row_block);
  const double work = (double)pairs * (double)j.rows * (double)g->keys * (double)(g->depth + g->v_depth);
  // Of few rows the keys and values take longer to read than to multiply.
  bk_pool_run(bk_pool_for(pool, j.few ? 4 * work : work), pairs * j.row_blocks, 1, body, &j);
  return atomic_load(&j.error);
}
