/// Strided copies (transposes among them) and gathering of rows.
#include <string.h>

#include "internal.h"

/// Dimensions of size 1 dropped, sorted by the destination's stride (largest first), neighbours merged. The last one is
/// the inner dimension; `across` is the one whose source stride is 1, if that is another one.
typedef struct {
  const bk_table *o;
  int rank, across;
  size_t size, shape[BK_MAX_RANK];
  char *dst;
  const char *src;
  ptrdiff_t ds[BK_MAX_RANK], ss[BK_MAX_RANK];
  size_t across_tiles;
} job;

enum { TILE = 64 };

#define COPY_STRIDED(type)       \
  for (size_t i = 0; i < n; i++) \
  memcpy(d + (ptrdiff_t)i * ds * (ptrdiff_t)sizeof(type), s + (ptrdiff_t)i * ss * (ptrdiff_t)sizeof(type), sizeof(type))

static void copy_line(size_t size, char *d, ptrdiff_t ds, const char *s, ptrdiff_t ss, size_t n) {
  if (ds == 1 && ss == 1) {
    memcpy(d, s, n * size);
    return;
  }
  switch (size) {
    case 1: COPY_STRIDED(uint8_t); break;
    case 2: COPY_STRIDED(uint16_t); break;
    case 4: COPY_STRIDED(uint32_t); break;
    default: COPY_STRIDED(uint64_t); break;
  }
}

/// dst[r][c] = src[c][r] of 4-byte elements: rows of dst ds apart, rows of src ss apart, 16 rows of src at a time.
static void transpose_words(const bk_table *o, char *d, ptrdiff_t ds, const char *s, ptrdiff_t ss, size_t rows,
                            size_t columns) {
  _Alignas(64) uint32_t tile[TILE * BK_PANEL];
  size_t c = 0;
  for (; c + BK_PANEL <= columns; c += BK_PANEL) {
    o->transpose(tile, (const uint32_t *)(const void *)(s + (ptrdiff_t)c * ss * 4), (size_t)ss, rows);
    for (size_t r = 0; r < rows; r++)
      memcpy(d + ((ptrdiff_t)r * ds + (ptrdiff_t)c) * 4, tile + r * BK_PANEL, BK_PANEL * 4);
  }
  for (size_t r = 0; r < rows; r++)
    copy_line(4, d + ((ptrdiff_t)r * ds + (ptrdiff_t)c) * 4, 1, s + ((ptrdiff_t)c * ss + (ptrdiff_t)r) * 4, ss,
              columns - c);
}

/// The inner dimension whole, and up to TILE of the one across.
static void transpose_tile(const job *j, char *d, const char *s, size_t rows) {
  const int last = j->rank - 1;
  const ptrdiff_t size = (ptrdiff_t)j->size, ds = j->ds[j->across], ss = j->ss[last];
  const size_t columns = j->shape[last];
  if (j->size == 4 && ss >= 0) {
    transpose_words(j->o, d, ds, s, ss, rows, columns);
    return;
  }
  for (size_t c = 0; c < columns; c += 16)
    for (size_t r = 0; r < rows; r++)
      copy_line(j->size, d + ((ptrdiff_t)r * ds + (ptrdiff_t)c) * size, 1,
                s + ((ptrdiff_t)c * ss + (ptrdiff_t)r) * size, ss, bk_min(16, columns - c));
}

static void body(void *ctx, size_t begin, size_t end) {
  const job *j = ctx;
  const ptrdiff_t size = (ptrdiff_t)j->size;
  const int last = j->rank - 1;
  for (size_t t = begin; t < end; t++) {
    size_t rest = t / j->across_tiles, tile = t % j->across_tiles * TILE;
    char *d = j->dst;
    const char *s = j->src;
    for (int k = last - 1; k >= 0; k--) {
      if (k == j->across) continue;
      ptrdiff_t index = (ptrdiff_t)(rest % j->shape[k]);
      rest /= j->shape[k];
      d += index * j->ds[k] * size;
      s += index * j->ss[k] * size;
    }
    if (j->across < 0) {
      copy_line(j->size, d, j->ds[last], s, j->ss[last], j->shape[last]);
    } else {
      d += (ptrdiff_t)tile * j->ds[j->across] * size;
      s += (ptrdiff_t)tile * size;
      transpose_tile(j, d, s, bk_min(TILE, j->shape[j->across] - tile));
    }
  }
}

static ptrdiff_t magnitude(ptrdiff_t x) { return x < 0 ? -x : x; }

int bk_copy(bk_pool *pool, int element_size, int rank, const size_t *shape, void *dst, const ptrdiff_t *dst_strides,
            const void *src, const ptrdiff_t *src_strides) {
  if (element_size != 1 && element_size != 2 && element_size != 4 && element_size != 8) return BK_EARGUMENT;
  if (rank < 0 || rank > BK_MAX_RANK) return BK_EARGUMENT;
  int order[BK_MAX_RANK], used = 0;
  size_t count = 1;
  for (int d = 0; d < rank; d++) {
    count *= shape[d];
    if (shape[d] == 1) continue;
    int at = used++;
    for (; at > 0 && magnitude(dst_strides[order[at - 1]]) < magnitude(dst_strides[d]); at--) order[at] = order[at - 1];
    order[at] = d;
  }
  if (count == 0) return BK_OK;
  job j = {.o = bk_ops(), .across = -1, .size = (size_t)element_size, .dst = dst, .src = src, .across_tiles = 1};
  for (int i = 0; i < used; i++) {
    const int d = order[i], p = j.rank - 1;
    const ptrdiff_t size = (ptrdiff_t)shape[d];
    if (p >= 0 && j.ds[p] == size * dst_strides[d] && j.ss[p] == size * src_strides[d]) {
      j.shape[p] *= shape[d];
      j.ds[p] = dst_strides[d];
      j.ss[p] = src_strides[d];
    } else {
      j.shape[j.rank] = shape[d];
      j.ds[j.rank] = dst_strides[d];
      j.ss[j.rank++] = src_strides[d];
    }
  }
  if (j.rank == 0) {
    memcpy(dst, src, j.size);
    return BK_OK;
  }
  const int last = j.rank - 1;
  if (j.rank == 1 && j.ds[0] == 1 && j.ss[0] == 1 && j.shape[0] >= 1 << 16) {  // one long run: cut it for the threads
    j.shape[1] = 1 << 14;
    j.ds[1] = j.ss[1] = 1;
    const size_t whole = j.shape[0] >> 14, rest = j.shape[0] & ((1 << 14) - 1);
    memcpy(j.dst + (whole << 14) * j.size, j.src + (whole << 14) * j.size, rest * j.size);
    j.shape[0] = whole;
    j.ds[0] = j.ss[0] = 1 << 14;
    j.rank = 2;
  } else if (j.ds[last] == 1 && j.ss[last] != 1) {
    for (int d = 0; d < last; d++)
      if (j.ss[d] == 1 && j.shape[d] > 1) j.across = d;
  }
  size_t tasks = 1;
  for (int d = 0; d + 1 < j.rank; d++)
    if (d != j.across) tasks *= j.shape[d];
  if (j.across >= 0) j.across_tiles = bk_ceil(j.shape[j.across], TILE);
  tasks *= j.across_tiles;
  const double work = (double)count / (double)tasks + 20.0;
  bk_pool_run(bk_pool_for(pool, work * (double)tasks), tasks, bk_grain(pool, tasks, work, 1e5), body, &j);
  return BK_OK;
}

typedef struct {
  const bk_table *o;
  float *out;
  const char *table;
  const int64_t *index;
  bk_dtype type;
  size_t out_stride, table_stride, n;
} gather_job;

static void gather_body(void *ctx, size_t begin, size_t end) {
  const gather_job *j = ctx;
  const size_t size = bk_dtype_size(j->type);
  for (size_t i = begin; i < end; i++) {
    const char *row = j->table + (size_t)j->index[i] * j->table_stride * size;
    float *out = j->out + i * j->out_stride;
    if (j->type == BK_F32)
      memcpy(out, row, j->n * sizeof(float));
    else
      j->o->convert[BK_F32][j->type](out, row, j->n);
  }
}

void bk_gather_rows(bk_pool *pool, float *out, size_t out_stride, bk_dtype table_type, const void *table,
                    size_t table_stride, const int64_t *index, size_t count, size_t n) {
  gather_job j = {bk_ops(), out, table, index, table_type, out_stride, table_stride, n};
  if (n == 0) return;
  const double row = (double)n;
  bk_pool_run(bk_pool_for(pool, row * (double)count), count, bk_grain(pool, count, row, 1e5), gather_body, &j);
}
