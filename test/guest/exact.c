// A program of some four million instructions in three functions, for profiles: each has a share that hardly depends on the libc.
#include <stdint.h>

#define WORDS 4096
static uint64_t words[WORDS];

static uint64_t __attribute__((noinline)) mix(uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdull;
  return x ^ (x >> 29);
}

static uint64_t __attribute__((noinline)) fill(int rounds) {
  uint64_t sum = 1;
  for (int i = 0; i < rounds; i++) {
    sum = mix(sum + (uint64_t)i);
    words[sum % WORDS] += sum;
  }
  return sum;
}

static uint64_t __attribute__((noinline)) total(int rounds) {
  uint64_t sum = 0;
  for (int i = 0; i < rounds; i++) sum += words[(uint64_t)i * 17 % WORDS];
  return sum;
}

int main(void) {
  volatile uint64_t sum = fill(150000);
  sum += total(250000);
  return sum == 42;
}
