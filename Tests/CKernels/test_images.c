/// Tests of the kernels for images: convolution and group normalization.
#include "support.h"

static double conv_value(const bk_conv2d_args *g, const float *w, size_t b, size_t i, size_t j, size_t o) {
  double sum = 0;
  for (size_t r = 0; r < g->kernel_height; r++) {
    for (size_t q = 0; q < g->kernel_width; q++) {
      const size_t row = i * g->stride[0] + r * g->dilation[0], column = j * g->stride[1] + q * g->dilation[1];
      if (row < g->padding[0] || column < g->padding[1]) continue;
      const size_t y = (row - g->padding[0]) / g->factor, z = (column - g->padding[1]) / g->factor;
      if (y >= g->height || z >= g->width) continue;
      for (size_t c = 0; c < g->channels; c++)
        sum += (double)g->x[((b * g->height + y) * g->width + z) * g->channels + c] *
               (double)w[((o * g->kernel_height + r) * g->kernel_width + q) * g->channels + c];
    }
  }
  return sum;
}

void test_conv2d(void) {
  for (int n = 0; n < (quick ? 60 : 250); n++) {
    start_case(seed + 1);
    bk_conv2d_args g = {.batch = random_below(3), .height = 1 + random_below(9), .width = 1 + random_below(9)};
    g.channels = 1 + random_below(n % 4 ? 20 : 200);
    g.outputs = 1 + random_below(40);
    g.factor = 1 + random_below(2);
    g.kernel_height = 1 + random_below(3);
    g.kernel_width = 1 + random_below(3);
    if (n % 5 == 0) g.kernel_height = g.kernel_width = g.factor = 1;
    for (int k = 0; k < 2; k++) {
      g.stride[k] = n % 5 == 0 ? 1 : 1 + random_below(2);
      g.dilation[k] = 1 + random_below(2);
      g.padding[k] = n % 5 == 0 ? 0 : random_below(3);
    }
    const size_t below = random_below(2), reach = g.dilation[0] * (g.kernel_height - 1) + 1,
                 wide = g.dilation[1] * (g.kernel_width - 1) + 1;
    const size_t padded[2] = {g.height * g.factor + g.padding[0] + below, g.width * g.factor + g.padding[1] + below};
    if (padded[0] < reach || padded[1] < wide) continue;
    g.out_height = (padded[0] - reach) / g.stride[0] + 1;
    g.out_width = (padded[1] - wide) / g.stride[1] + 1;
    const size_t k = g.kernel_height * g.kernel_width * g.channels,
                 count = g.batch * g.out_height * g.out_width * g.outputs;
    guarded x = guarded_floats(g.batch * g.height * g.width * g.channels, -1, 1);
    guarded w = guarded_floats(g.outputs * k, -1, 1), bias = guarded_floats(g.outputs, -1, 1);
    guarded residual = guarded_floats(count, -1, 1), packed = guarded_new(bk_pack_size(BK_F32, g.outputs, k) + 64);
    g.x = x.data;
    g.w = (void *)(((uintptr_t)packed.data + 63) / 64 * 64);
    bk_pack(NULL, BK_F32, (void *)(uintptr_t)g.w, BK_F32, w.data, k, false, g.outputs, k);
    g.bias = random_below(2) ? bias.data : NULL;
    g.residual = random_below(2) ? residual.data : NULL;
    g.activation = random_below(2) ? BK_ACT_SILU : BK_ACT_NONE;
    double *want = calloc(count + 1, sizeof(double));
    for (size_t e = 0; e < count; e++) {
      const size_t o = e % g.outputs, j = e / g.outputs % g.out_width, i = e / g.outputs / g.out_width % g.out_height;
      double sum = conv_value(&g, w.data, e / g.outputs / g.out_width / g.out_height, i, j, o);
      want[e] = activation_value(g.activation, sum + (g.bias ? (double)g.bias[o] : 0)) +
                (g.residual ? (double)g.residual[e] : 0);
    }
    guarded first = {0};
    for (int p = 0; p < 4; p++) {
      guarded y = guarded_new(count * 4);
      g.y = y.data;
      const int error = bk_conv2d(pools[p], &g);
      check(error == BK_OK, "conv2d", "returned %d", error);
      if (p == 0)
        check_close("conv2d", y.data, want, count, 1e-6 * sqrt((double)k) + 1e-6, 1e-5);
      else
        check_same("conv2d", y.data, first.data, y.bytes);
      if (p == 0)
        first = y;
      else
        guarded_free("conv2d", y);
    }
    guarded_free("conv2d", first);
    free(want);
    guarded_free("conv2d x", x);
    guarded_free("conv2d w", w);
    guarded_free("conv2d bias", bias);
    guarded_free("conv2d residual", residual);
    guarded_free("conv2d packed", packed);
  }
}

void test_group_norm(void) {
  for (int n = 0; n < (quick ? 60 : 250); n++) {
    start_case(seed + 1);
    const size_t batch = random_below(3), pixels = random_below(n % 6 ? 90 : 3000), groups = 1 + random_below(5),
                 size = 1 + random_below(n % 3 ? 5 : 20), channels = groups * size, count = batch * pixels * channels;
    const float center = n % 4 == 0 ? 50 : 0;
    guarded x = guarded_floats(count, center - 2, center + 2), gamma = guarded_floats(channels, -2, 2),
            beta = guarded_floats(channels, -2, 2);
    const float *ga = random_below(3) ? gamma.data : NULL, *be = random_below(3) ? beta.data : NULL;
    const bool silu = random_below(2);
    double *want = calloc(count + 1, sizeof(double));
    for (size_t b = 0; b < batch; b++) {
      for (size_t first = 0; first < channels; first += size) {
        double mean = 0, squares = 0;
        const float *image = floats(x) + b * pixels * channels;
        for (size_t i = 0; i < pixels * size; i++)
          mean += (double)image[i / size * channels + first + i % size] / (double)(pixels * size);
        for (size_t i = 0; i < pixels * size; i++)
          squares += pow((double)image[i / size * channels + first + i % size] - mean, 2);
        for (size_t i = 0; i < pixels * size; i++) {
          const size_t c = first + i % size, at = i / size * channels + c;
          double v = ((double)image[at] - mean) / sqrt(squares / (double)(pixels * size) + 1e-5);
          v = v * (ga ? (double)ga[c] : 1) + (be ? (double)be[c] : 0);
          want[b * pixels * channels + at] = silu ? v / (1 + exp(-v)) : v;
        }
      }
    }
    guarded first = {0};
    for (int p = 0; p < 4; p++) {
      guarded y = guarded_new(count * 4);
      if (p == 1) memcpy(y.data, x.data, x.bytes);
      const int error = bk_group_norm(pools[p], y.data, p == 1 ? y.data : x.data, batch, pixels, channels, groups, ga,
                                      be, 1e-5f, silu);
      check(error == BK_OK, "group_norm", "returned %d", error);
      if (p == 0)
        check_close("group_norm", y.data, want, count, center > 0 ? 4e-5 : 1e-5, 1e-5);
      else
        check_same("group_norm", y.data, first.data, y.bytes);
      if (p == 0)
        first = y;
      else
        guarded_free("group_norm", y);
    }
    guarded_free("group_norm", first);
    free(want);
    guarded_free("group_norm x", x);
    guarded_free("group_norm gamma", gamma);
    guarded_free("group_norm beta", beta);
  }
}
