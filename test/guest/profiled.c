// A program whose profile is known: a loop over an array with a stride, branches that are taken three times of four, calls, and two
// threads that write to one line. It says where all of it is.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <unistd.h>

#define ELEMENTS 4096
#define STRIDE 128
static struct { uint64_t value; char rest[STRIDE - 8]; } strided[ELEMENTS] __attribute__((aligned(4096)));
static struct { volatile uint64_t a, b; } falsely __attribute__((aligned(64)));

uint64_t __attribute__((noinline, aligned(4096))) stride(int rounds) {
  uint64_t sum = 0;
  for (int round = 0; round < rounds; round++)
    for (int i = 0; i < ELEMENTS; i++) sum += *(volatile uint64_t *)&strided[i].value;
  return sum;
}

uint64_t __attribute__((noinline)) called(uint64_t x) {
  asm volatile("" ::: "memory");
  return x + 1;
}

uint64_t __attribute__((noinline, aligned(4096))) calls(int rounds) {
  uint64_t sum = 0;
  for (int i = 0; i < rounds; i++)
    if (i % 4 != 3) sum = called(sum);
  return sum;
}

static int there;

// Each on a CPU of its own, and both at once.
static void *__attribute__((noinline)) hammer(void *at) {
  volatile uint64_t *x = at;
  cpu_set_t mine;
  CPU_ZERO(&mine);
  CPU_SET(at == &falsely.a, &mine);
  sched_setaffinity(0, sizeof mine, &mine);
  __atomic_add_fetch(&there, 1, __ATOMIC_SEQ_CST);
  while (__atomic_load_n(&there, __ATOMIC_SEQ_CST) < 2) sched_yield();
  // A period of 1,025 ops is no multiple of six: not always the same instruction of the loop is sampled.
  for (int i = 0; i < 1000000; i++) {
    ++*x;
    __asm__ volatile("nop");
  }
  return 0;
}

static void physical(const char *what, const void *from, unsigned long bytes) {
  int file = open("/proc/self/pagemap", O_RDONLY);
  for (unsigned long at = (unsigned long)from; at < (unsigned long)from + bytes; at += 4096) {
    uint64_t entry = 0;
    if (pread(file, &entry, 8, at / 4096 * 8) != 8) exit(1);
    printf("%s %lx %lx\n", what, at, (unsigned long)((entry & ((1ul << 55) - 1)) * 4096));
  }
  close(file);
}

int main(int argc, char **argv) {
  (void)argc;
  memset(strided, 1, sizeof strided);
  if (!strcmp(argv[1], "share")) {
    pthread_t other;
    pthread_create(&other, 0, hammer, (void *)&falsely.a);
    hammer((void *)&falsely.b);
    pthread_join(other, 0);
    printf("line %lx\n", (unsigned long)&falsely);
    return 0;
  }
  uint64_t sum = stride(60) + calls(200000);
  printf("pid %d\n", getpid());
  printf("stride %lx\n", (unsigned long)stride);
  printf("calls %lx\n", (unsigned long)calls);
  printf("called %lx\n", (unsigned long)called);
  printf("array %lx\n", (unsigned long)strided);
  physical("page", strided, sizeof strided);
  return sum == 0;
}
