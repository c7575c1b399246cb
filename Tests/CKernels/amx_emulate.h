/// The AMX tile instructions in plain C, one set of tiles per thread, for running isa_amx.c on machines without them.
#include <string.h>

#define TARGET_AMX
typedef struct {
  uint8_t bytes[16][64];
} emulated_tile;
static _Thread_local emulated_tile tiles[8];
static _Thread_local tile_config shape;

static void tile_load(int t, const void *p, size_t stride) {
  memset(&tiles[t], 0, sizeof tiles[t]);
  for (int r = 0; r < shape.rows[t]; r++)
    memcpy(tiles[t].bytes[r], (const char *)p + (size_t)r * stride, shape.row_bytes[t]);
}
static void tile_store(int t, void *p, size_t stride) {
  for (int r = 0; r < shape.rows[t]; r++) memcpy((char *)p + (size_t)r * stride, tiles[t].bytes[r], shape.row_bytes[t]);
}
static float tile_bf16(const uint8_t *p) {
  uint32_t u = ((uint32_t)p[1] << 8 | p[0]) << 16;
  float f;
  memcpy(&f, &u, 4);
  return f;
}
static void tile_dot(int c, int a, int b) {
  for (int m = 0; m < shape.rows[c]; m++)
    for (int k = 0; k < shape.row_bytes[a] / 4; k++)
      for (int n = 0; n < shape.row_bytes[c] / 4; n++) {
        float sum;
        memcpy(&sum, tiles[c].bytes[m] + 4 * n, 4);
        sum += tile_bf16(tiles[a].bytes[m] + 4 * k) * tile_bf16(tiles[b].bytes[k] + 4 * n);
        sum += tile_bf16(tiles[a].bytes[m] + 4 * k + 2) * tile_bf16(tiles[b].bytes[k] + 4 * n + 2);
        memcpy(tiles[c].bytes[m] + 4 * n, &sum, 4);
      }
}
static void tile_zero(int t) { memset(&tiles[t], 0, sizeof tiles[t]); }
static void tile_configure(const tile_config *config) {
  shape = *config;
  memset(tiles, 0, sizeof tiles);
}

#define TILE_CONFIG(config) tile_configure(config)
#define TILE_RELEASE() ((void)0)
#define TILE_LOAD(t, p, stride) tile_load(t, p, stride)
#define TILE_STORE(t, p, stride) tile_store(t, p, stride)
#define TILE_ZERO(t) tile_zero(t)
#define TILE_DOT(c, a, b) tile_dot(c, a, b)

bool bk_amx_available(void) { return true; }
