/// The thread pool: workers poll a generation counter, then sleep on it with a futex. A run opens a gate through which
/// workers enter; the caller claims ranges from the end and workers from the beginning; the caller closes the gate once
/// all ranges are claimed and waits only for the workers inside, so that a worker that wakes late costs nothing. A
/// waiting worker brings what it will read first into its cache.
#define _GNU_SOURCE
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "internal.h"

enum { GATE_CLOSED = 1 << 30, MAX_THREADS = 1024, DEFAULT_SPIN = 4000 };

enum {
  AHEAD = 512 << 10,  ///< bytes that waiting workers read ahead at most: a part of the second-level cache
  AHEAD_STEP = 512,   ///< of them between looks for work
};


struct bk_pool {
  int threads;
  atomic_uint spin;
  atomic_bool busy, quit;
  _Alignas(64) atomic_int generation;
  atomic_int sleepers;
  _Alignas(64) atomic_int gate;
  _Alignas(64) _Atomic(uint64_t) left;  ///< grains not claimed: the first, and above 32 bits the one behind the last
  _Alignas(64) _Atomic(uintptr_t) ahead;
  _Atomic(uintptr_t) ahead_end;
  _Alignas(64) size_t count;
  size_t grain;
  bk_body body;
  void *ctx;
  pthread_t handles[];
};

static inline void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static void wait_while(atomic_int *word, int value) {
#if defined(__linux__)
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
#else
  if (atomic_load(word) == value) sched_yield();
#endif
}

static void wake_all(atomic_int *word) {
#if defined(__linux__)
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
#else
  (void)word;
#endif
}

/// Takes ranges until none is left: two thirds of an even share of what is left each time, so that few are taken and
/// the threads still end together.
static void claim_ranges(bk_pool *p, bool from_end) {
  const size_t count = p->count, grain = p->grain, shares = 3 * (size_t)p->threads;
  uint64_t left = atomic_load_explicit(&p->left, memory_order_relaxed);
  for (;;) {
    uint64_t first = left & UINT32_MAX, last = left >> 32;
    if (first == last) return;
    const uint64_t taken = bk_max(2 * (last - first) / shares, 1);
    const uint64_t rest = from_end ? first | (last - taken) << 32 : (first + taken) | last << 32;
    if (!atomic_compare_exchange_weak_explicit(&p->left, &left, rest, memory_order_relaxed, memory_order_relaxed))
      continue;
    if (from_end)
      first = last - taken;
    else
      last = first + taken;
    p->body(p->ctx, first * grain, bk_min(last * grain, count));
    left = atomic_load_explicit(&p->left, memory_order_relaxed);
  }
}

/// Asks the memory for some more of what is read next; false when that is enough.
static bool read_ahead(bk_pool *p) {
  const uintptr_t end = atomic_load_explicit(&p->ahead_end, memory_order_relaxed);
  if (atomic_load_explicit(&p->ahead, memory_order_relaxed) >= end) return false;
  const uintptr_t place = atomic_fetch_add_explicit(&p->ahead, AHEAD_STEP, memory_order_relaxed);
  for (uintptr_t i = 0; i < AHEAD_STEP; i += 64) __builtin_prefetch((const void *)(place + i), 0, 2);
  return true;
}

void bk_pool_expect(bk_pool *p, const void *data, size_t bytes) {
  if (!p) return;
  atomic_store_explicit(&p->ahead_end, 0, memory_order_relaxed);
  atomic_store_explicit(&p->ahead, (uintptr_t)data, memory_order_relaxed);
  atomic_store_explicit(&p->ahead_end, (uintptr_t)data + bk_min(bytes, AHEAD), memory_order_relaxed);
}

static void *worker(void *argument) {
  bk_pool *p = argument;
  int seen = 0;
  for (;;) {
    unsigned spin = atomic_load_explicit(&p->spin, memory_order_relaxed);
    while (atomic_load_explicit(&p->generation, memory_order_acquire) == seen && spin > 0) {
      if (read_ahead(p)) continue;
      spin--;
      relax();
    }
    while (atomic_load(&p->generation) == seen) {
      atomic_fetch_add(&p->sleepers, 1);
      wait_while(&p->generation, seen);
      atomic_fetch_sub(&p->sleepers, 1);
    }
    seen = atomic_load(&p->generation);
    if (atomic_load(&p->quit)) return NULL;
    int gate = atomic_load(&p->gate);
    while (!(gate & GATE_CLOSED) && !atomic_compare_exchange_weak(&p->gate, &gate, gate + 1)) {
    }
    if (gate & GATE_CLOSED) continue;
    claim_ranges(p, false);
    if (atomic_fetch_sub(&p->gate, 1) == GATE_CLOSED + 1) wake_all(&p->gate);
  }
}

static void announce(bk_pool *p) {
  atomic_fetch_add(&p->generation, 1);
  if (atomic_load(&p->sleepers) > 0) wake_all(&p->generation);
}

bk_pool *bk_pool_create(int threads) {
  threads = threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : threads;
  size_t bytes = sizeof(bk_pool) + sizeof(pthread_t) * (size_t)threads;
  bk_pool *p = aligned_alloc(64, (bytes + 63) / 64 * 64);
  if (!p) return NULL;
  *p = (bk_pool){.threads = 1};
  atomic_init(&p->spin, DEFAULT_SPIN);
  atomic_init(&p->gate, GATE_CLOSED);
  for (int i = 0; i + 1 < threads; i++) {
    if (pthread_create(&p->handles[i], NULL, worker, p) != 0) {
      bk_pool_destroy(p);
      return NULL;
    }
    p->threads++;
  }
  return p;
}

void bk_pool_destroy(bk_pool *p) {
  if (!p) return;
  atomic_store(&p->quit, true);
  announce(p);
  for (int i = 0; i + 1 < p->threads; i++) pthread_join(p->handles[i], NULL);
  free(p);
}

int bk_pool_threads(const bk_pool *p) { return p ? p->threads : 1; }

void bk_pool_set_spin(bk_pool *p, unsigned iterations) {
  if (p) atomic_store(&p->spin, iterations);
}

void bk_pool_run(bk_pool *p, size_t count, size_t grain, bk_body body, void *ctx) {
  if (grain == 0) grain = 1;
  if (count == 0) return;
  if (!p || p->threads == 1 || count <= grain || count > SIZE_MAX / 2 || count / grain >= UINT32_MAX / 2 ||
      atomic_exchange(&p->busy, true)) {
    for (size_t begin = 0; begin < count; begin += bk_min(grain, count - begin))
      body(ctx, begin, begin + bk_min(grain, count - begin));
    return;
  }
  p->count = count;
  p->grain = grain;
  p->body = body;
  p->ctx = ctx;
  atomic_store(&p->left, (uint64_t)bk_ceil(count, grain) << 32);
  atomic_store(&p->gate, 0);
  announce(p);
  claim_ranges(p, true);
  int gate = atomic_fetch_or(&p->gate, GATE_CLOSED) | GATE_CLOSED;
  for (unsigned spin = atomic_load(&p->spin); gate != GATE_CLOSED && spin > 0; spin--) {
    relax();
    gate = atomic_load(&p->gate);
  }
  while (gate != GATE_CLOSED) {
    wait_while(&p->gate, gate);
    gate = atomic_load(&p->gate);
  }
  atomic_store(&p->busy, false);
}

bk_pool *bk_pool_for(bk_pool *pool, double work) { return work < 2e5 ? NULL : pool; }

size_t bk_grain(bk_pool *pool, size_t count, double work_per_item, double least) {
  size_t threads = (size_t)bk_pool_threads(pool);
  if (threads == 1) return bk_max(count, 1);
  size_t even = bk_max(count / (threads * 8), 1);
  double floor_items = least / (work_per_item < 1 ? 1 : work_per_item);
  size_t smallest = floor_items < 1 ? 1 : floor_items > 1e15 ? (size_t)1e15 : (size_t)floor_items;
  return bk_max(even, bk_min(smallest, bk_ceil(count, threads)));
}
