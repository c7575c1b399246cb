/// Self-test of the kernel library: every kernel on every instruction set of the machine against a plain reference in
/// double precision. Arguments: `quick` for fewer cases, `seed=N` for other random cases.
#include "support.h"

#include <stdarg.h>

bool quick;
uint64_t seed;
bk_pool *pools[4];
long passed, failed;
const char *const activation_names[] = {"none", "relu", "gelu_erf", "gelu_tanh", "silu", "tanh", "sigmoid"};
static uint64_t state;

void start_case(uint64_t s) {
  seed = s;
  state = s * 0x9e3779b97f4a7c15u + 1;
}
uint64_t random_bits(void) {  // splitmix64
  uint64_t z = (state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}
size_t random_below(size_t n) { return n ? random_bits() % n : 0; }
float random_float(float low, float high) {
  return low + (high - low) * (float)((double)(random_bits() >> 11) * 0x1p-53);
}

enum { CANARY = 128 };
guarded guarded_new(size_t bytes) {
  guarded g = {.bytes = bytes, .block = malloc(bytes + 2 * CANARY)};
  if (!g.block) abort();
  memset(g.block, 0xa5, bytes + 2 * CANARY);
  g.data = g.block + CANARY;
  memset(g.data, 0, bytes);
  return g;
}
guarded guarded_floats(size_t n, float low, float high) {
  guarded g = guarded_new(n * sizeof(float));
  for (size_t i = 0; i < n; i++) floats(g)[i] = random_float(low, high);
  return g;
}
void guarded_free(const char *what, guarded g) {
  for (size_t i = 0; i < CANARY; i++)
    if (g.block[i] != 0xa5 || g.block[CANARY + g.bytes + i] != 0xa5) {
      check(false, what, "a byte outside the buffer was written");
      break;
    }
  free(g.block);
}

void check(bool ok, const char *what, const char *format, ...) {
  if (ok) {
    passed++;
    return;
  }
  if (++failed > 60) return;
  va_list arguments;
  va_start(arguments, format);
  printf("FAILED %s [%s, seed %llu]: ", what, bk_isa(), (unsigned long long)seed);
  vprintf(format, arguments);
  printf("\n");
  va_end(arguments);
}

void check_close(const char *what, const float *got, const double *want, size_t n, double absolute, double relative) {
  for (size_t i = 0; i < n; i++) {
    if (isnan(want[i]) ? isnan(got[i]) : (double)got[i] == want[i]) continue;
    double error = fabs((double)got[i] - want[i]);
    if (!(error <= absolute + relative * fabs(want[i]))) {
      check(false, what, "element %zu of %zu is %.9g instead of %.9g (off by %.3g)", i, n, (double)got[i], want[i],
            error);
      return;
    }
  }
  check(true, what, "-");
}
void check_same(const char *what, const void *a, const void *b, size_t bytes) {
  check(bytes == 0 || memcmp(a, b, bytes) == 0, what, "differs with the number of threads (or the way it is called)");
}

float bf16_to_float(uint16_t h) {
  uint32_t u = (uint32_t)h << 16;
  float f;
  memcpy(&f, &u, 4);
  return f;
}
uint16_t float_to_bf16(float f) {
  uint32_t u;
  memcpy(&u, &f, 4);
  if (isnan(f)) return (uint16_t)(u >> 16 | 0x40);
  uint32_t low = u & 0xffff, high = u >> 16;
  if (low > 0x8000 || (low == 0x8000 && (high & 1))) high++;
  return (uint16_t)high;
}
double f16_value(uint16_t h) {
  double sign = h & 0x8000 ? -1 : 1;
  int exponent = h >> 10 & 31, fraction = h & 1023;
  if (exponent == 31) return fraction ? (double)NAN : sign * (double)INFINITY;
  if (exponent == 0) return sign * ldexp(fraction, -24);
  return sign * ldexp(1024 + fraction, exponent - 25);
}
uint16_t float_to_f16(float f) {
  uint32_t u;
  memcpy(&u, &f, 4);
  uint16_t sign = u >> 16 & 0x8000;
  if (isnan(f)) return (uint16_t)(sign | 0x7e00 | (u >> 13 & 0x3ff));
  double x = fabs((double)f);
  if (x >= 65520) return sign | 0x7c00;
  int e;
  if (x == 0) return sign;
  frexp(x, &e);  // x in [2^(e-1), 2^e)
  if (e < -13) e = -13;
  double unit = ldexp(1, e - 11), q = nearbyint(x / unit) * unit;
  if (q >= 65536) return sign | 0x7c00;
  if (q < 0x1p-14) return (uint16_t)(sign | (uint16_t)(q * 0x1p24));
  frexp(q, &e);
  return (uint16_t)(sign | (uint16_t)((e + 14) << 10) | ((uint16_t)ldexp(q, 11 - e) & 1023));
}
double element(bk_dtype type, const void *p, size_t i) {
  uint16_t h;
  float f;
  if (type == BK_F32) {
    memcpy(&f, (const char *)p + 4 * i, 4);
    return f;
  }
  memcpy(&h, (const char *)p + 2 * i, 2);
  return type == BK_BF16 ? (double)bf16_to_float(h) : f16_value(h);
}
guarded guarded_elements(bk_dtype type, size_t n, float low, float high) {
  guarded g = guarded_new(n * bk_dtype_size(type));
  for (size_t i = 0; i < n; i++) {
    float f = random_float(low, high);
    if (type == BK_F32)
      floats(g)[i] = f;
    else
      ((uint16_t *)g.data)[i] = type == BK_BF16 ? float_to_bf16(f) : float_to_f16(f);
  }
  return g;
}
double activation_value(bk_activation a, double x) {
  switch (a) {
    case BK_ACT_RELU: return x < 0 ? 0 : x;
    case BK_ACT_GELU_ERF: return 0.5 * x * (1 + erf(x * M_SQRT1_2));
    case BK_ACT_GELU_TANH: return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case BK_ACT_SILU: return x / (1 + exp(-x));
    case BK_ACT_TANH: return tanh(x);
    case BK_ACT_SIGMOID: return 1 / (1 + exp(-x));
    default: return x;
  }
}

int main(int count, char **arguments) {
  uint64_t first = 1;
  for (int i = 1; i < count; i++) {
    if (strcmp(arguments[i], "quick") == 0) quick = true;
    if (strncmp(arguments[i], "seed=", 5) == 0) first = strtoull(arguments[i] + 5, NULL, 10);
  }
  static const struct {
    const char *name;
    void (*run)(void);
  } groups[] = {{"pool", test_pool},
                {"convert", test_convert},
                {"cast", test_cast},
                {"linear", test_linear},
                {"matmul", test_matmul},
                {"attention", test_attention},
                {"rows", test_rows},
                {"elementwise", test_elementwise},
                {"copy", test_copy},
                {"numbers", test_numbers},
                {"blocks", test_blocks},
                {"quantize", test_quantize},
                {"conv2d", test_conv2d},
                {"group_norm", test_group_norm},
                {"quantized", test_quantized}};
  for (int i = 1; i < 4; i++) {
    pools[i] = bk_pool_create(i);
    bk_pool_set_spin(pools[i], 100);
  }
  check(bk_set_isa("z80") == BK_EARGUMENT, "set_isa", "an unknown name was accepted");
  for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
    long before = passed, before_failed = failed;
    for (int i = 0; bk_isa_at(i); i++) {
      if (bk_set_isa(bk_isa_at(i)) != BK_OK) abort();
      start_case(first * 1000000);
      groups[g].run();
    }
    printf("%-12s %7ld passed, %ld failed\n", groups[g].name, passed - before, failed - before_failed);
    fflush(stdout);
  }
  bk_set_isa(NULL);
  printf("instruction sets:");
  for (int i = 0; bk_isa_at(i); i++) printf(" %s", bk_isa_at(i));
  printf("\n%ld passed, %ld failed\n", passed, failed);
  for (int i = 1; i < 4; i++) bk_pool_destroy(pools[i]);
  bk_scratch_release();
  return failed > 0;
}
