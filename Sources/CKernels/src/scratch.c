/// Scratch memory: one growable block per thread and slot, freed by a thread-specific data destructor at the thread's
/// end.
#include <pthread.h>
#include <stdlib.h>

#include "internal.h"

typedef struct {
  void *block[BK_SCRATCH_SLOTS];
  size_t bytes[BK_SCRATCH_SLOTS];
} scratch;

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local scratch *mine;

static void release(void *pointer) {
  scratch *s = pointer;
  for (int i = 0; i < BK_SCRATCH_SLOTS; i++) free(s->block[i]);
  free(s);
  mine = NULL;
}

static void make_key(void) { (void)pthread_key_create(&key, release); }

void bk_scratch_release(void) {
  if (!mine) return;
  pthread_setspecific(key, NULL);
  release(mine);
}

void *bk_scratch(int slot, size_t bytes) {
  if (!mine) {
    pthread_once(&once, make_key);
    mine = calloc(1, sizeof *mine);
    if (!mine) return NULL;
    pthread_setspecific(key, mine);
  }
  if (bytes == 0) bytes = 64;
  if (mine->bytes[slot] < bytes) {
    if (bytes > SIZE_MAX - (1 << 13)) return NULL;
    size_t rounded = (bytes + bytes / 8 + 4095) / 4096 * 4096;
    if (rounded < bytes) return NULL;
    void *block = aligned_alloc(4096, rounded);
    if (!block) return NULL;
    free(mine->block[slot]);
    mine->block[slot] = block;
    mine->bytes[slot] = rounded;
  }
  return mine->block[slot];
}
