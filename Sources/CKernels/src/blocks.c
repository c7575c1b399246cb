/// Encoding of numbers in ggml's blocks.
#include "internal.h"

static const struct {
  size_t elements, bytes;
} sizes[] = {[BK_Q4_0] = {32, 18},   [BK_Q4_1] = {32, 20},   [BK_Q5_0] = {32, 22},   [BK_Q5_1] = {32, 24},
             [BK_Q8_0] = {32, 34},   [BK_Q2_K] = {256, 84},  [BK_Q3_K] = {256, 110}, [BK_Q4_K] = {256, 144},
             [BK_Q5_K] = {256, 176}, [BK_Q6_K] = {256, 210}, [BK_Q8_K] = {256, 292}};

size_t bk_block_elements(bk_blocks type) { return sizes[type].elements; }
size_t bk_block_size(bk_blocks type) { return sizes[type].bytes; }

size_t bk_encode_blocks(bk_blocks type, void *dst, const float *src, size_t count) {
  return bk_ops()->encode_blocks(type, dst, src, count);
}
