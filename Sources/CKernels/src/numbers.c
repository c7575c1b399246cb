/// Numbers of any type: what they come to, how two rows of them differ, and fingerprints that their order leaves alone.
#include <math.h>
#include <string.h>

#include "internal.h"

enum { BLOCK = 1024 };

static size_t number_size(bk_number type) {
  switch (type) {
    case BK_NUMBER_F64:
    case BK_NUMBER_I64:
    case BK_NUMBER_U64: return 8;
    case BK_NUMBER_F32:
    case BK_NUMBER_I32:
    case BK_NUMBER_U32: return 4;
    case BK_NUMBER_CODES: return 1;
    default: return 2;
  }
}

/// The values of a block, in `block` unless they are doubles as they lie.
static void widen(const bk_table *o, bk_number type, const double *table, double *block, const char *src, size_t n) {
  if (type == BK_NUMBER_F64)
    memcpy(block, src, n * sizeof(double));
  else if (type == BK_NUMBER_CODES)
    for (size_t i = 0; i < n; i++) block[i] = table[(unsigned char)src[i]];
  else
    o->widen[type](block, src, n);
}

void bk_widen(bk_number type, const double *table, double *dst, const void *src, size_t n) {
  widen(bk_ops(), type, table, dst, src, n);
}

void bk_summary_add(bk_summary *into, const bk_summary *other) {
  if (other->finite > 0) {
    double a = (double)into->finite, b = (double)other->finite, apart = other->mean - into->mean;
    if (into->finite == 0) {
      into->mean = other->mean;
      into->squares = other->squares;
    } else {
      double part = apart * (b / (a + b)), between = apart * part * a;
      into->mean += part;
      into->squares += other->squares + between;
    }
    into->finite += other->finite;
    if (other->least < into->least) into->least = other->least;
    if (other->greatest > into->greatest) into->greatest = other->greatest;
  }
  into->zeros += other->zeros;
  into->nans += other->nans;
  into->infinities += other->infinities;
  into->negative_infinities += other->negative_infinities;
}

void bk_summarize(bk_number type, const double *table, const void *src, size_t n, bk_summary *out) {
  const bk_table *o = bk_ops();
  double block[BLOCK];
  *out = (bk_summary){.least = INFINITY, .greatest = -INFINITY};
  for (size_t i = 0; i < n; i += BLOCK) {
    size_t count = bk_min(n - i, BLOCK);
    bk_summary part;
    widen(o, type, table, block, (const char *)src + i * number_size(type), count);
    o->summarize(block, count, &part);
    bk_summary_add(out, &part);
  }
}

void bk_difference_add(bk_difference *into, const bk_difference *other) {
  into->finite += other->finite;
  into->unequal += other->unequal;
  into->mismatched += other->mismatched;
  into->sum += other->sum;
  into->aa += other->aa;
  into->bb += other->bb;
  into->ab += other->ab;
  if (other->largest > into->largest) into->largest = other->largest;
  if (other->scale > into->scale) into->scale = other->scale;
}

void bk_compare(bk_number a_type, const double *a_table, const void *a, bk_number b_type, const double *b_table,
                const void *b, size_t n, bk_difference *out) {
  const bk_table *o = bk_ops();
  double x[BLOCK], y[BLOCK];
  *out = (bk_difference){0};
  for (size_t i = 0; i < n; i += BLOCK) {
    size_t count = bk_min(n - i, BLOCK);
    bk_difference part;
    widen(o, a_type, a_table, x, (const char *)a + i * number_size(a_type), count);
    widen(o, b_type, b_table, y, (const char *)b + i * number_size(b_type), count);
    o->difference(x, y, count, &part);
    bk_difference_add(out, &part);
  }
}

size_t bk_unequal(size_t size, const void *a, const void *b, size_t n) {
  const char *p = a, *q = b;
  size_t unequal = 0;
#define COUNT(type)                                \
  for (size_t i = 0; i < n; i++) {                 \
    type x, y;                                     \
    memcpy(&x, p + i * sizeof(type), sizeof x);    \
    memcpy(&y, q + i * sizeof(type), sizeof y);    \
    unequal += x != y;                             \
  }                                                \
  break
  switch (size) {
    case 1: COUNT(uint8_t);
    case 2: COUNT(uint16_t);
    case 4: COUNT(uint32_t);
    case 8: COUNT(uint64_t);
    default:
      for (size_t i = 0; i < n; i++) unequal += memcmp(p + i * size, q + i * size, size) != 0;
  }
#undef COUNT
  return unequal;
}

int bk_fingerprint(size_t size, const void *src, size_t rows, size_t columns, uint64_t *row_sums,
                   uint32_t *column_sums) {
  const int kind = size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : size == 8 ? 3 : -1;
  if (kind < 0) return BK_EARGUMENT;
  const bk_table *o = bk_ops();
  uint32_t *second = column_sums ? column_sums + columns : NULL;
  for (size_t r = 0; r < rows; r++)
    row_sums[r] = o->mix_row[kind]((const char *)src + r * columns * size, columns, column_sums, second);
  return BK_OK;
}
