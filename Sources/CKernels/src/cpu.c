/// Which instruction sets the machine has, and which table of kernels is in use.
#include <stdatomic.h>
#include <string.h>
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#ifndef HWCAP2_BF16
#define HWCAP2_BF16 (1UL << 14)
#endif
#endif

#include "internal.h"

extern const bk_table bk_table_portable;
#if defined(__x86_64__)
extern const bk_table bk_table_avx2, bk_table_avx512, bk_table_avx512bf16;
static bk_table table_amx;

static bool has_avx2(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}
static bool has_avx512(void) {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}
static bool has_avx512bf16(void) {
  return has_avx512() && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni");
}
#elif defined(__aarch64__)
extern const bk_table bk_table_neon, bk_table_neonbf16;

static bool has_bf16(void) {
#if defined(__linux__)
  return (getauxval(AT_HWCAP2) & HWCAP2_BF16) != 0;
#else
  return false;
#endif
}
#endif

enum { MAX_TABLES = 8 };

/// Fills the tables this machine can run, worst first, and returns their number.
static int usable_tables(const bk_table *tables[MAX_TABLES]) {
  int count = 0;
  tables[count++] = &bk_table_portable;
#if defined(__x86_64__)
  if (has_avx2()) tables[count++] = &bk_table_avx2;
  if (has_avx512()) tables[count++] = &bk_table_avx512;
  if (has_avx512bf16()) tables[count++] = &bk_table_avx512bf16;
  if (has_avx512bf16() && bk_amx_available()) {
    bk_table t = bk_table_avx512bf16;
    t.name = "amx";
    t.few_pairs = t.gemm_pairs;
    t.gemm_pairs = bk_amx_gemm_pairs;
    t.few_rows = t.pairs_rows;
    t.pairs_rows = 32;
    table_amx = t;
    tables[count++] = &table_amx;
  }
#elif defined(__aarch64__)
  tables[count++] = &bk_table_neon;
  if (has_bf16()) tables[count++] = &bk_table_neonbf16;
#endif
  return count;
}

static const bk_table *tables[MAX_TABLES];
static int table_count;
static _Atomic(const bk_table *) current;
static atomic_int state;  ///< 0 not looked, 1 looking, 2 done

static void look(void) {
  int expected = 0;
  if (atomic_load(&state) == 2) return;
  if (atomic_compare_exchange_strong(&state, &expected, 1)) {
    table_count = usable_tables(tables);
    atomic_store(&current, tables[table_count - 1]);
    atomic_store(&state, 2);
    return;
  }
  while (atomic_load(&state) != 2) {
  }
}

const bk_table *bk_ops(void) {
  const bk_table *t = atomic_load_explicit(&current, memory_order_acquire);
  if (t) return t;
  look();
  return atomic_load(&current);
}

const char *bk_isa(void) { return bk_ops()->name; }

const char *bk_isa_at(int i) {
  look();
  return i >= 0 && i < table_count ? tables[i]->name : NULL;
}

int bk_set_isa(const char *name) {
  look();
  if (!name) name = tables[table_count - 1]->name;
  for (int i = 0; i < table_count; i++)
    if (strcmp(tables[i]->name, name) == 0) {
      atomic_store(&current, tables[i]);
      return BK_OK;
    }
  return BK_EARGUMENT;
}
