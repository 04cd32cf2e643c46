// Work to profile, in loops whose every instruction is known: eleven of them a turn, of which one is a load, one a store, one an
// atomic that loads and stores, one a branch.
//
//   worker once         one loop, in the first thread
//   worker rounds       two threads with a loop each, one turn about; a line to /tmp/go is a round, and the answer in /tmp/done
//   worker wander       one loop, on CPU 0 and CPU 1 in turn
//
// Each says first where its loops are, and which threads run them.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TURNS 100000
#define MOVES 20

static uint64_t array[65536] __attribute__((aligned(4096)));
static uint64_t counter;

// Goes over 512 KiB in steps of two lines.
#define LOOP(name)                                                                                                         \
  extern const char name##_end[];                                                                                          \
  void name(uint64_t turns, void *array, uint64_t *counter);                                                               \
  asm(".text\n.balign 64\n.globl " #name ", " #name "_end\n.type " #name ", %function\n" #name ":\n"                        \
      "lsl x4, x0, #7\n and x4, x4, #0x7ffff\n"                                                                            \
      "ldr x5, [x1, x4]\n add x5, x5, #1\n str x5, [x1, x4]\n"                                                             \
      "ldadd x5, x6, [x2]\n eor x7, x7, x6\n add x8, x8, x7\n"                                                             \
      "nop\n subs x0, x0, #1\n b.ne " #name "\n" #name "_end:\n ret\n.size " #name ", . - " #name "\n")

LOOP(spin);
LOOP(spun);

static void say(const char *name, void (*loop)(uint64_t, void *, uint64_t *), const char *end, long tid) {
  printf("%s %lx %lx %ld\n", name, (unsigned long)loop, (unsigned long)end, tid);
  fflush(stdout);
}

// Whose turn it is: 0 the first thread's, 1 the other's.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static int turn;

static void pass(int to) {
  pthread_mutex_lock(&lock);
  turn = to;
  pthread_cond_broadcast(&turned);
  pthread_mutex_unlock(&lock);
}

static void await(int mine) {
  pthread_mutex_lock(&lock);
  while (turn != mine) pthread_cond_wait(&turned, &lock);
  pthread_mutex_unlock(&lock);
}

static void *other(void *none) {
  say("spun", spun, spun_end, syscall(SYS_gettid));
  pass(0);
  for (;;) {
    await(1);
    spun(TURNS, array, &counter);
    pass(0);
  }
  return none;
}

static void rounds(void) {
  pthread_t thread;
  turn = 1;
  pthread_create(&thread, 0, other, 0);
  await(0);
  // For writing, too: it has no end then.
  int go = open("/tmp/go", O_RDWR);
  char line;
  while (read(go, &line, 1) == 1) {
    spin(TURNS, array, &counter);
    pass(1);
    await(0);
    int done = open("/tmp/done", O_WRONLY);
    if (write(done, "\n", 1) != 1) exit(1);
    close(done);
  }
}

static void wander(void) {
  for (int i = 0; i < MOVES; i++) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(i % 2, &one);
    if (sched_setaffinity(0, sizeof one, &one)) exit(1);
    spin(TURNS / MOVES, array, &counter);
  }
}

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  // Pages that nobody has written to are one page of zeros.
  memset(array, 1, sizeof array);
  say("spin", spin, spin_end, getpid());
  if (!strcmp(argv[1], "rounds")) rounds();
  else if (!strcmp(argv[1], "wander")) wander();
  else spin(TURNS, array, &counter);
  return 0;
}
