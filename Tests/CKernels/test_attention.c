/// Tests of attention against scores and a softmax in double precision.
#include "support.h"

typedef struct {
  size_t B, Hq, Hkv, S, T, D, Dv;
  bool causal, sequence_first;
  bk_mask mask;
  bk_dtype kv;
} attention_case;

static bk_strides3 strides_of(size_t heads, size_t length, size_t depth, bool sequence_first, size_t pad) {
  if (sequence_first)
    return (bk_strides3){(ptrdiff_t)(length * heads * (depth + pad)), (ptrdiff_t)(depth + pad),
                         (ptrdiff_t)(heads * (depth + pad))};
  return (bk_strides3){(ptrdiff_t)(heads * length * (depth + pad)), (ptrdiff_t)(length * (depth + pad)),
                       (ptrdiff_t)(depth + pad)};
}

static void reference(const bk_attention_args *g, double *want) {
  double *scores = malloc(sizeof(double) * (g->keys + 1));
  for (size_t b = 0; b < g->batch; b++)
    for (size_t h = 0; h < g->q_heads; h++)
      for (size_t i = 0; i < g->queries; i++) {
        const ptrdiff_t kv = (ptrdiff_t)(h / (g->q_heads / g->kv_heads)), sb = (ptrdiff_t)b;
        const float *q =
            g->q + sb * g->q_strides.batch + (ptrdiff_t)h * g->q_strides.head + (ptrdiff_t)i * g->q_strides.sequence;
        double max = -INFINITY, total = 0;
        for (size_t j = 0; j < g->keys; j++) {
          const ptrdiff_t k = sb * g->k_strides.batch + kv * g->k_strides.head + (ptrdiff_t)j * g->k_strides.sequence;
          double s = 0;
          for (size_t d = 0; d < g->depth; d++) s += (double)q[d] * element(g->kv_type, g->k, (size_t)k + d);
          s *= g->scale;
          const ptrdiff_t at = sb * g->mask_strides[0] + (ptrdiff_t)h * g->mask_strides[1] +
                               (ptrdiff_t)i * g->mask_strides[2] + (ptrdiff_t)j * g->mask_strides[3];
          if (g->mask_kind == BK_MASK_F32) s = fmax(s + ((const float *)g->mask)[at], -FLT_MAX);
          if (g->mask_kind == BK_MASK_BOOL && !((const uint8_t *)g->mask)[at]) s = -FLT_MAX;
          if (g->causal && (ptrdiff_t)j > (ptrdiff_t)i + (ptrdiff_t)g->keys - (ptrdiff_t)g->queries) s = -FLT_MAX;
          scores[j] = s;
          max = fmax(max, s);
        }
        for (size_t j = 0; j < g->keys; j++) total += scores[j] = exp(scores[j] - max);
        double *out = want + sb * g->out_strides.batch + (ptrdiff_t)h * g->out_strides.head +
                      (ptrdiff_t)i * g->out_strides.sequence;
        for (size_t d = 0; d < g->v_depth; d++) out[d] = 0;
        for (size_t j = 0; j < g->keys; j++) {
          const ptrdiff_t v = sb * g->v_strides.batch + kv * g->v_strides.head + (ptrdiff_t)j * g->v_strides.sequence;
          for (size_t d = 0; d < g->v_depth; d++)
            out[d] += scores[j] / total * element(g->kv_type, g->v, (size_t)v + d);
        }
      }
  free(scores);
}

static void run_attention(attention_case c) {
  const size_t pad = random_below(3), qn = c.B * c.Hq * c.S, kn = c.B * c.Hkv * c.T;
  guarded q = guarded_floats(qn * (c.D + pad), -2, 2), k = guarded_elements(c.kv, kn * (c.D + pad), -2, 2),
          v = guarded_elements(c.kv, kn * (c.Dv + pad), -2, 2);
  bk_attention_args g = {.batch = c.B,
                         .q_heads = c.Hq,
                         .kv_heads = c.Hkv,
                         .queries = c.S,
                         .keys = c.T,
                         .depth = c.D,
                         .v_depth = c.Dv,
                         .q = q.data,
                         .kv_type = c.kv,
                         .k = k.data,
                         .v = v.data,
                         .scale = 1 / sqrtf((float)c.D + 1),
                         .causal = c.causal,
                         .mask_kind = c.mask};
  g.q_strides = strides_of(c.Hq, c.S, c.D, c.sequence_first, pad);
  g.k_strides = strides_of(c.Hkv, c.T, c.D, c.sequence_first, pad);
  g.v_strides = strides_of(c.Hkv, c.T, c.Dv, c.sequence_first, pad);
  g.out_strides = strides_of(c.Hq, c.S, c.Dv, c.sequence_first, pad);
  guarded mask = guarded_new(qn * c.T * sizeof(float));
  const size_t sizes[4] = {c.B, c.Hq, c.S, c.T};
  ptrdiff_t stride = 1;
  for (int d = 3; d >= 0; d--) {
    g.mask_strides[d] = random_below(3) == 0 ? 0 : stride;
    stride *= (ptrdiff_t)sizes[d];
  }
  const int density = (int)random_below(4);
  for (size_t i = 0; i < qn * c.T; i++) {
    if (c.mask == BK_MASK_BOOL)
      ((uint8_t *)mask.data)[i] = density && random_below(4) < (size_t)density ? (uint8_t)(1 + random_below(255)) : 0;
    else
      floats(mask)[i] =
          random_below(4) >= (size_t)density ? (random_below(2) ? -FLT_MAX : -INFINITY) : random_float(-3, 3);
  }
  g.mask = mask.data;
  const size_t out_count = qn * (c.Dv + pad);
  double *want = calloc(out_count + 1, sizeof(double));
  reference(&g, want);
  char what[160];
  snprintf(what, sizeof what, "attention B%zu H%zu/%zu S%zu T%zu D%zu/%zu causal %d mask %d type %d", c.B, c.Hq,
           c.Hkv, c.S, c.T, c.D, c.Dv, c.causal, c.mask, c.kv);
  guarded first = {0};
  for (int p = 0; p < 4; p++) {
    guarded out = guarded_new(out_count * sizeof(float));
    g.out = out.data;
    int error = bk_attention(pools[p], &g);
    check(error == BK_OK, what, "returned %d", error);
    if (p == 0)
      check_close(what, out.data, want, out_count, 5e-6, 5e-6);
    else
      check_same(what, out.data, first.data, out.bytes);
    if (p == 0)
      first = out;
    else
      guarded_free(what, out);
  }
  guarded_free(what, first);
  free(want);
  guarded_free(what, q);
  guarded_free(what, k);
  guarded_free(what, v);
  guarded_free(what, mask);
}

void test_attention(void) {
  static const attention_case fixed[] = {
      {1, 4, 4, 128, 128, 32, 32, false, true, 0, BK_F32}, {1, 4, 2, 1, 700, 64, 64, true, false, 0, BK_F32},
      {2, 8, 2, 1, 300, 40, 24, false, true, 1, BK_F32},   {1, 2, 1, 300, 300, 16, 16, true, true, 0, BK_F32},
      {1, 4, 2, 1, 700, 64, 64, true, false, 0, BK_BF16}, {1, 2, 1, 300, 300, 16, 24, true, true, 0, BK_BF16},
      {1, 2, 2, 150, 70, 20, 20, true, false, 0, BK_F32},  {1, 1, 1, 70, 400, 33, 17, true, true, 1, BK_F32},
      {1, 2, 2, 5, 0, 8, 8, false, false, 0, BK_F32},      {1, 2, 2, 5, 9, 0, 8, false, false, 0, BK_F32},
      {1, 2, 2, 140, 260, 24, 40, true, false, 2, BK_F32}, {3, 6, 3, 2, 513, 128, 128, true, true, 2, BK_F32},
  };
  for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
    start_case(seed + 1);
    run_attention(fixed[i]);
  }
  for (int n = 0; n < (quick ? 60 : 250); n++) {
    start_case(seed + 1);
    attention_case c = {.B = 1 + random_below(2),
                        .Hkv = 1 + random_below(3),
                        .S = 1 + random_below(n % 3 ? 6 : 60),
                        .T = 1 + random_below(n % 2 ? 30 : 300),
                        .D = 1 + random_below(70),
                        .Dv = 1 + random_below(70)};
    c.Hq = c.Hkv * (1 + random_below(4));
    c.causal = random_below(2);
    c.sequence_first = random_below(2);
    c.mask = random_below(3);
    c.kv = random_below(2) ? BK_F32 : BK_BF16;
    run_attention(c);
  }
  bk_attention_args g = {.batch = 1, .q_heads = 3, .kv_heads = 2, .queries = 1, .v_depth = 1};
  check(bk_attention(NULL, &g) == BK_EARGUMENT, "attention", "3 heads on 2");
}
