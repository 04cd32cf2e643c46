/* Floating point whose results IEEE 754 settles to the last bit: whoever runs it must print the same lines. */
#include <fenv.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static uint64_t state = 88172645463325252u;

/* xorshift64: the same numbers everywhere. */
static uint64_t draw(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

static double as_double(uint64_t bits) {
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static float as_float(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* NaNs are all alike: which one comes out is each architecture's own choice. */
static uint64_t bits_of(double value) {
  uint64_t bits;
  if (isnan(value)) return 0x7ff8000000000000u;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static uint32_t bits_of_float(float value) {
  uint32_t bits;
  if (isnan(value)) return 0x7fc00000u;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

/* Operands of every kind: any bits, numbers near 1, denormals, zeros, infinities, NaNs. */
static double operand(void) {
  static const double special[] = {0.0, -0.0, 1.0, -1.0, INFINITY, -INFINITY, NAN, DBL_MIN, DBL_MAX, DBL_TRUE_MIN};
  uint64_t bits = draw();
  switch (draw() % 5) {
    case 0: return as_double(bits);
    case 1: return special[bits % (sizeof special / sizeof *special)];
    case 2: return as_double(bits & 0x800fffffffffffffu); /* denormal */
    default: return as_double((bits & 0x800fffffffffffffu) | (uint64_t)(1013 + bits % 21) << 52);
  }
}

static float operand_float(void) {
  uint32_t bits = (uint32_t)draw();
  switch (draw() % 4) {
    case 0: return as_float(bits);
    case 1: return as_float(bits & 0x807fffffu);
    default: return as_float((bits & 0x807fffffu) | (117 + bits % 21) << 23);
  }
}

/* FNV-1a over what was computed: a line for each thousand results, so that a difference is near its line. */
static uint64_t hash;
static void mix(uint64_t bits) {
  for (int i = 0; i < 8; i++) hash = (hash ^ ((bits >> (8 * i)) & 255)) * 1099511628211u;
}

static void doubles(void) {
  for (int i = 0; i < 1000; i++) {
    volatile double a = operand(), b = operand(), c = operand();
    mix(bits_of(a + b));
    mix(bits_of(a - b));
    mix(bits_of(a * b));
    mix(bits_of(a / b));
    mix(bits_of(sqrt(fabs(a))));
    mix(bits_of(fma(a, b, c)));
    mix((uint64_t)((a < b) | (a <= b) << 1 | (a == b) << 2 | (a > b) << 3 | (a != b) << 4));
    mix(bits_of((double)(float)a));
    mix(bits_of(floor(a)));
    mix(bits_of(rint(b)));
    mix(bits_of(trunc(c)));
  }
}

static void floats(void) {
  for (int i = 0; i < 1000; i++) {
    volatile float a = operand_float(), b = operand_float(), c = operand_float();
    mix(bits_of_float(a + b));
    mix(bits_of_float(a - b));
    mix(bits_of_float(a * b));
    mix(bits_of_float(a / b));
    mix(bits_of_float(sqrtf(fabsf(b))));
    mix(bits_of_float(fmaf(a, b, c)));
    mix(bits_of(a));
  }
}

/* Integers to floating point, and back where the result is in range (outside of it C leaves it open). */
static void conversions(void) {
  for (int i = 0; i < 1000; i++) {
    volatile uint64_t whole = draw() >> (draw() % 64);
    mix(bits_of((double)whole));
    mix(bits_of((double)(int64_t)whole));
    mix(bits_of_float((float)whole));
    mix(bits_of_float((float)(int32_t)whole));
    volatile double fraction = (double)(int64_t)draw() / 3.0;
    mix((uint64_t)(int64_t)fraction);
    mix((uint64_t)(int32_t)(fraction / 8589934592.0));
    mix((uint64_t)fabs(fraction));
    mix((uint64_t)llrint(fraction));
  }
}

static void rounding(int mode) {
  fesetround(mode);
  doubles();
  floats();
  conversions();
  fesetround(FE_TONEAREST);
}

static void exceptions(const char *name, double a, double b, char operation) {
  volatile double left = a, right = b, result = 0;
  feclearexcept(FE_ALL_EXCEPT);
  switch (operation) {
    case '+': result = left + right; break;
    case '*': result = left * right; break;
    case '/': result = left / right; break;
    case 's': result = sqrt(left); break;
  }
  int raised = fetestexcept(FE_ALL_EXCEPT);
  printf("%s: %016" PRIx64 "%s%s%s%s%s\n", name, bits_of(result), raised & FE_INVALID ? " invalid" : "",
         raised & FE_DIVBYZERO ? " divbyzero" : "", raised & FE_OVERFLOW ? " overflow" : "",
         raised & FE_UNDERFLOW ? " underflow" : "", raised & FE_INEXACT ? " inexact" : "");
}

int main(void) {
  static const struct {
    const char *name;
    int mode;
  } modes[] = {{"nearest", FE_TONEAREST}, {"up", FE_UPWARD}, {"down", FE_DOWNWARD}, {"zero", FE_TOWARDZERO}};
  for (unsigned m = 0; m < sizeof modes / sizeof *modes; m++)
    for (int round = 0; round < 3; round++) {
      hash = 14695981039346656037u;
      rounding(modes[m].mode);
      printf("%s %d: %016" PRIx64 "\n", modes[m].name, round, hash);
    }
  exceptions("1/3", 1, 3, '/');
  exceptions("1/0", 1, 0, '/');
  exceptions("0/0", 0, 0, '/');
  exceptions("max+max", DBL_MAX, DBL_MAX, '+');
  exceptions("min*min", DBL_MIN, DBL_MIN, '*');
  exceptions("min/2", DBL_MIN, 2, '/');
  exceptions("sqrt(-1)", -1, 0, 's');
  exceptions("sqrt(2)", 2, 0, 's');
  double sum = 0;
  for (int i = 1; i <= 100000; i++) sum += 1.0 / i;
  printf("harmonic %.17g %a\n", sum, sum);
  printf("%.20f %e %g %a %.3f %.0f %s\n", 0.1, 12345678.9, 1e-5, DBL_TRUE_MIN, 2.0005, 2.5,
         isinf(1e308 * 10) ? "inf" : "finite");
  for (int i = 0; i < 20; i++) {
    double value = operand();
    if (isnan(value)) printf("nan\n");
    else printf("%.17g %.6e %a\n", value, value, value);
  }
  return 0;
}
