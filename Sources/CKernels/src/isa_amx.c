/// bf16 products on AMX tiles: 2 x 2 output tiles of 16 x 16. With BK_AMX_EMULATE (tests only) the tile instructions
/// are replaced by C, so that the code can run where the hardware is missing.
#include "internal.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef struct {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} tile_config;

#ifdef BK_AMX_EMULATE
#include "amx_emulate.h"
#else
#define TARGET_AMX __attribute__((target("amx-tile,amx-bf16,avx512f")))
#define TILE_CONFIG(config) _tile_loadconfig(config)
#define TILE_RELEASE() _tile_release()
#define TILE_LOAD(t, p, stride) _tile_loadd(t, p, stride)
#define TILE_STORE(t, p, stride) _tile_stored(t, p, stride)
#define TILE_ZERO(t) _tile_zero(t)
#define TILE_DOT(c, a, b) _tile_dpbf16ps(c, a, b)

bool bk_amx_available(void) {
  enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
  if (!__builtin_cpu_supports("amx-tile") || !__builtin_cpu_supports("amx-bf16")) return false;
  return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}
#endif

enum { STEP_PAIRS = 16 };  ///< k pairs of one tile: 64 bytes of a row of a

/// Tiles 0...3: c (row half, panel); 4, 5: a by row half; 6, 7: b by panel.
#define MULTIPLY()                            \
  do {                                        \
    TILE_DOT(0, 4, 6);                        \
    if (two_panels) TILE_DOT(1, 4, 7);        \
    if (low) TILE_DOT(2, 5, 6);               \
    if (low && two_panels) TILE_DOT(3, 5, 7); \
  } while (0)

TARGET_AMX void bk_amx_gemm_pairs(int rows, int panels, size_t pairs, const uint32_t *a, size_t lda, const void *b,
                                  size_t panel_stride, float *c, size_t ldc, bool accumulate) {
  const int high = rows < 16 ? rows : 16, low = rows - high;
  const bool two_panels = panels == 2;
  const uint16_t *b0 = b, *b1 = b0 + (two_panels ? panel_stride : 0);
  tile_config config = {.palette = 1};
  for (int t = 0; t < 8; t++) {
    bool lower = t == 2 || t == 3 || t == 5;
    config.row_bytes[t] = 64;
    config.rows[t] = (uint8_t)(t >= 6 ? 16 : lower ? (low ? low : 1) : high);
  }
  TILE_CONFIG(&config);
  if (accumulate) {
    TILE_LOAD(0, c, ldc * 4);
    if (two_panels) TILE_LOAD(1, c + 16, ldc * 4);
    if (low) TILE_LOAD(2, c + 16 * ldc, ldc * 4);
    if (low && two_panels) TILE_LOAD(3, c + 16 * ldc + 16, ldc * 4);
  } else {
    TILE_ZERO(0);
    TILE_ZERO(1);
    TILE_ZERO(2);
    TILE_ZERO(3);
  }
  size_t k = 0;
  for (; k + STEP_PAIRS <= pairs; k += STEP_PAIRS) {
    TILE_LOAD(4, a + k, lda * 4);
    if (low) TILE_LOAD(5, a + 16 * lda + k, lda * 4);
    TILE_LOAD(6, b0 + k * 32, 64);
    if (two_panels) TILE_LOAD(7, b1 + k * 32, 64);
    MULTIPLY();
  }
  if (k < pairs) {
    uint32_t a_rest[32][16] = {{0}}, b_rest[2][16][16] = {{{0}}};
    size_t rest = pairs - k;
    for (int r = 0; r < rows; r++) memcpy(a_rest[r], a + (size_t)r * lda + k, rest * 4);
    memcpy(b_rest[0], b0 + k * 32, rest * 64);
    if (two_panels) memcpy(b_rest[1], b1 + k * 32, rest * 64);
    TILE_LOAD(4, a_rest[0], 64);
    if (low) TILE_LOAD(5, a_rest[16], 64);
    TILE_LOAD(6, b_rest[0], 64);
    if (two_panels) TILE_LOAD(7, b_rest[1], 64);
    MULTIPLY();
  }
  TILE_STORE(0, c, ldc * 4);
  if (two_panels) TILE_STORE(1, c + 16, ldc * 4);
  if (low) TILE_STORE(2, c + 16 * ldc, ldc * 4);
  if (low && two_panels) TILE_STORE(3, c + 16 * ldc + 16, ldc * 4);
  TILE_RELEASE();
}
#endif
