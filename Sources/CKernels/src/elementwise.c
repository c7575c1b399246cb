/// Unary and binary elementwise kernels, SwiGLU and rotary embedding.
#include <string.h>

#include "internal.h"

enum { CHUNK = 4096, GATHER = 256 };

// --------------------------------------------------------------------------------------------------------- unary

typedef struct {
  const bk_table *o;
  bk_unary_op op;
  float *y;
  const float *x;
  size_t count;
} unary_job;

static void unary_body(void *ctx, size_t begin, size_t end) {
  const unary_job *j = ctx;
  size_t first = begin * CHUNK, n = bk_min(end * CHUNK, j->count) - first;
  j->o->unary(j->op, j->y + first, j->x + first, n);
}

int bk_unary(bk_pool *pool, bk_unary_op op, float *y, const float *x, size_t count) {
  if ((unsigned)op > BK_UNARY_COS) return BK_EARGUMENT;
  unary_job j = {bk_ops(), op, y, x, count};
  size_t chunks = bk_ceil(count, CHUNK);
  bk_pool_run(bk_pool_for(pool, 4.0 * (double)count), chunks, bk_grain(pool, chunks, 4.0 * CHUNK, 1e5), unary_body, &j);
  return BK_OK;
}

// -------------------------------------------------------------------------------------------------------- binary

/// The operation with dimensions of size 1 dropped and neighbours merged where both operands allow it. The last
/// dimension is cut into `pieces` of CHUNK elements.
typedef struct {
  const bk_table *o;
  bk_binary_op op;
  float *out;
  const float *a, *b;
  int rank;
  size_t shape[BK_MAX_RANK];
  ptrdiff_t as[BK_MAX_RANK], bs[BK_MAX_RANK];
  size_t pieces;
} binary_job;

/// `n` elements `stride` apart, contiguous: in place for stride 1, else in `buffer`.
static const float *gathered(const float *p, ptrdiff_t stride, size_t n, float *buffer) {
  if (stride == 1) return p;
  for (size_t i = 0; i < n; i++) buffer[i] = p[(ptrdiff_t)i * stride];
  return buffer;
}

static void binary_run(const binary_job *j, float *out, const float *a, ptrdiff_t as, const float *b, ptrdiff_t bs,
                       size_t n) {
  float left[GATHER], right[GATHER];
  if (as == 0 && bs == 0) {
    j->o->binary(j->op, out, a, false, b, false, 1);
    for (size_t i = 1; i < n; i++) out[i] = out[0];
  } else if ((as == 0 || as == 1) && (bs == 0 || bs == 1)) {
    j->o->binary(j->op, out, a, as == 0, b, bs == 0, n);
  } else {
    for (size_t i = 0; i < n; i += GATHER) {
      size_t part = bk_min(n - i, GATHER);
      const float *l = as == 0 ? a : gathered(a + (ptrdiff_t)i * as, as, part, left);
      const float *r = bs == 0 ? b : gathered(b + (ptrdiff_t)i * bs, bs, part, right);
      j->o->binary(j->op, out + i, l, as == 0, r, bs == 0, part);
    }
  }
}

static void binary_body(void *ctx, size_t begin, size_t end) {
  const binary_job *j = ctx;
  const int last = j->rank - 1;
  const size_t inner = j->shape[last];
  for (size_t t = begin; t < end; t++) {
    size_t rest = t / j->pieces, piece = t % j->pieces * CHUNK;
    float *out = j->out + rest * inner + piece;
    const float *a = j->a + (ptrdiff_t)piece * j->as[last], *b = j->b + (ptrdiff_t)piece * j->bs[last];
    for (int d = last - 1; d >= 0; d--) {
      ptrdiff_t index = (ptrdiff_t)(rest % j->shape[d]);
      rest /= j->shape[d];
      a += index * j->as[d];
      b += index * j->bs[d];
    }
    binary_run(j, out, a, j->as[last], b, j->bs[last], bk_min(inner - piece, CHUNK));
  }
}

int bk_binary(bk_pool *pool, bk_binary_op op, float *out, int rank, const size_t *shape, const float *a,
              const ptrdiff_t *a_strides, const float *b, const ptrdiff_t *b_strides) {
  if (rank < 0 || rank > BK_MAX_RANK || (unsigned)op > BK_BINARY_POW) return BK_EARGUMENT;
  binary_job j = {.o = bk_ops(), .op = op, .out = out, .a = a, .b = b};
  size_t count = 1;
  for (int d = 0; d < rank; d++) {
    const size_t size = shape[d];
    count *= size;
    if (size == 1) continue;
    const int p = j.rank - 1;
    if (p >= 0 && j.as[p] == (ptrdiff_t)size * a_strides[d] && j.bs[p] == (ptrdiff_t)size * b_strides[d]) {
      j.shape[p] *= size;
      j.as[p] = a_strides[d];
      j.bs[p] = b_strides[d];
    } else {
      j.shape[j.rank] = size;
      j.as[j.rank] = a_strides[d];
      j.bs[j.rank++] = b_strides[d];
    }
  }
  if (count == 0) return BK_OK;
  if (j.rank == 0) j = (binary_job){.o = j.o, .op = op, .out = out, .a = a, .b = b, .rank = 1, .shape = {1}};
  const size_t inner = j.shape[j.rank - 1];
  j.pieces = bk_ceil(inner, CHUNK);
  const size_t tasks = count / inner * j.pieces;
  const double work = 2.0 * (double)bk_min(inner, CHUNK) + 20.0;
  bk_pool_run(bk_pool_for(pool, work * (double)tasks), tasks, bk_grain(pool, tasks, work, 1e5), binary_body, &j);
  return BK_OK;
}

// ------------------------------------------------------------------------------------------------ swiglu, rotary

typedef struct {
  const bk_table *o;
  float *out;
  const float *gate, *up;
  size_t out_stride, gate_stride, up_stride, n;
} swiglu_job;

static void swiglu_body(void *ctx, size_t begin, size_t end) {
  const swiglu_job *j = ctx;
  for (size_t r = begin; r < end; r++)
    j->o->swiglu(j->out + r * j->out_stride, j->gate + r * j->gate_stride, j->up + r * j->up_stride, j->n);
}

void bk_swiglu(bk_pool *pool, float *out, size_t out_stride, const float *gate, size_t gate_stride, const float *up,
               size_t up_stride, size_t rows, size_t n) {
  swiglu_job j = {bk_ops(), out, gate, up, out_stride, gate_stride, up_stride, n};
  const double row = 8.0 * (double)n;
  bk_pool_run(bk_pool_for(pool, row * (double)rows), rows, bk_grain(pool, rows, row, 1e5), swiglu_body, &j);
}

typedef struct {
  const bk_table *o;
  const bk_rotary_args *g;
} rotary_job;

/// One item is one position of one sequence: all its heads use the same row of the tables.
static void rotary_body(void *ctx, size_t begin, size_t end) {
  const rotary_job *j = ctx;
  const bk_rotary_args *g = j->g;
  for (size_t t = begin; t < end; t++) {
    const ptrdiff_t batch = (ptrdiff_t)(t / g->sequence), position = (ptrdiff_t)(t % g->sequence);
    const ptrdiff_t table = batch * g->table_batch + position * g->table_sequence;
    for (size_t h = 0; h < g->heads; h++) {
      const float *x =
          g->x + batch * g->x_strides.batch + (ptrdiff_t)h * g->x_strides.head + position * g->x_strides.sequence;
      float *out = g->out + batch * g->out_strides.batch + (ptrdiff_t)h * g->out_strides.head +
                   position * g->out_strides.sequence;
      j->o->rotary(out, x, g->cos + table, g->sin + table, g->rotated, g->interleaved);
      if (out != x && g->depth > g->rotated)
        memcpy(out + g->rotated, x + g->rotated, (g->depth - g->rotated) * sizeof(float));
    }
  }
}

int bk_rotary(bk_pool *pool, const bk_rotary_args *g) {
  if (g->rotated % 2 != 0 || g->rotated > g->depth) return BK_EARGUMENT;
  rotary_job j = {bk_ops(), g};
  const size_t items = g->batch * g->sequence;
  const double work = 2.0 * (double)g->heads * (double)g->depth;
  bk_pool_run(bk_pool_for(pool, work * (double)items), items, bk_grain(pool, items, work, 1e5), rotary_body, &j);
  return BK_OK;
}
