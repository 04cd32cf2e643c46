/*
 * What one CPU has read of a clock, no other may undercut that knows of it: under a lock, by a pipe, by a futex, by a signal,
 * by a fork. "clocks LOOPS" runs a process or thread on each CPU and prints how often an instant went back, and by how much.
 */
#define _GNU_SOURCE
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { COUNTER, CLOCKS = 5, MOST_CPUS = 16 };
static const clockid_t ids[CLOCKS] = {0, CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME};

/* All of it is shared between processes. */
static struct shared {
  uint64_t last[CLOCKS], back, worst, reads;
  uint64_t sent[MOST_CPUS][CLOCKS];
  int lock, turn;
} *s;
static int cpus, loops;

static uint64_t now(int clock) {
  struct timespec t;
  if (clock == COUNTER) {
    uint64_t ticks;
    __asm__ volatile("isb\n mrs %0, cntvct_el0\n isb" : "=r"(ticks)::"memory");
    return ticks;
  }
  clock_gettime(ids[clock], &t);
  return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void stamp(uint64_t *to) {
  for (int clock = 0; clock < CLOCKS; clock++) to[clock] = now(clock);
}

static void compare(const uint64_t *from) {
  for (int clock = 0; clock < CLOCKS; clock++) {
    uint64_t at = now(clock), behind = at < from[clock] ? from[clock] - at : 0;
    __atomic_fetch_add(&s->reads, 1, __ATOMIC_RELAXED);
    if (behind == 0) continue;
    __atomic_fetch_add(&s->back, 1, __ATOMIC_RELAXED);
    if (behind > s->worst) s->worst = behind;
  }
}

static void move_to(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set)) exit(2);
}

static void *locked(void *cpu) {
  move_to((int)(long)cpu);
  for (int i = 0; i < loops; i++) {
    while (__atomic_exchange_n(&s->lock, 1, __ATOMIC_ACQUIRE)) {}
    compare(s->last);
    stamp(s->last);
    __atomic_store_n(&s->lock, 0, __ATOMIC_RELEASE);
    for (volatile int k = 0; k < i * 7 % 40; k++) {}
  }
  return 0;
}

/* A ring of processes: each says to the next what it has read. */
static void pipes(void) {
  int ends[MOST_CPUS][2];
  for (int i = 0; i < cpus; i++)
    if (pipe(ends[i])) exit(2);
  for (int cpu = 0; cpu < cpus; cpu++) {
    if (fork() != 0) continue;
    move_to(cpu);
    uint64_t message[CLOCKS];
    for (int i = 0; i < loops; i++) {
      if (cpu == 0) {
        stamp(message);
        if (write(ends[1 % cpus][1], message, sizeof message) < 0) exit(2);
      }
      if (read(ends[cpu][0], message, sizeof message) != sizeof message) exit(2);
      compare(message);
      if (cpu == 0) continue;
      stamp(message);
      if (write(ends[(cpu + 1) % cpus][1], message, sizeof message) < 0) exit(2);
    }
    exit(0);
  }
  for (int i = 0; i < cpus; i++) close(ends[i][0]), close(ends[i][1]);
  while (wait(0) > 0) {}
}

/* Threads whose turn it is by a futex. */
static void *turns(void *number) {
  int cpu = (int)(long)number;
  move_to(cpu);
  for (int i = 0; i < loops; i++) {
    for (int turn; (turn = __atomic_load_n(&s->turn, __ATOMIC_ACQUIRE)) != cpu;)
      syscall(SYS_futex, &s->turn, FUTEX_WAIT, turn, 0, 0, 0);
    compare(s->last);
    stamp(s->last);
    __atomic_store_n(&s->turn, (cpu + 1) % cpus, __ATOMIC_RELEASE);
    syscall(SYS_futex, &s->turn, FUTEX_WAKE, INT_MAX, 0, 0, 0);
  }
  return 0;
}

static volatile sig_atomic_t signals;
static int me;

static void signalled(int number) {
  (void)number;
  compare(s->sent[me]);
  signals++;
}

/* Two processes that signal each other, on the first CPU and the last. */
static void signalling(void) {
  sigset_t blocked, none;
  sigemptyset(&none);
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  sigprocmask(SIG_BLOCK, &blocked, 0);
  signal(SIGUSR1, signalled);
  pid_t parent = getpid(), child = fork();
  me = child == 0;
  move_to(me ? cpus - 1 : 0);
  for (int i = 0; i < loops; i++) {
    if (me == 0) {
      stamp(s->sent[1]);
      kill(child, SIGUSR1);
    }
    while (signals <= i) sigsuspend(&none);
    if (me == 1) {
      stamp(s->sent[0]);
      kill(parent, SIGUSR1);
    }
  }
  if (me == 1) _exit(0);
  while (wait(0) > 0) {}
}

/* Children that start on another CPU. */
static void forks(void) {
  for (int i = 0; i < loops / 8; i++) {
    uint64_t before[CLOCKS];
    move_to(i % cpus);
    stamp(before);
    pid_t child = fork();
    if (child == 0) {
      compare(before);
      move_to((i + 1) % cpus);
      compare(before);
      stamp(s->last);
      _exit(0);
    }
    waitpid(child, 0, 0);
    compare(s->last);
  }
}

static void threads(void *(*run)(void *)) {
  pthread_t ids[MOST_CPUS];
  for (long cpu = 0; cpu < cpus; cpu++) pthread_create(&ids[cpu], 0, run, (void *)cpu);
  for (int cpu = 0; cpu < cpus; cpu++) pthread_join(ids[cpu], 0);
}

static void show(const char *what) {
  printf("%s: %s, %lu went back, the worst by %lu\n", what, s->reads > 0 ? "read" : "nothing was read", s->back, s->worst);
  fflush(stdout);
  s->reads = s->back = s->worst = 0;
  s->turn = 0;
  for (int clock = 0; clock < CLOCKS; clock++) s->last[clock] = 0;
}

int main(int argc, char **argv) {
  s = mmap(0, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
  loops = argc > 1 ? atoi(argv[1]) : 1000;
  threads(locked);
  show("lock");
  pipes();
  show("pipes");
  threads(turns);
  show("futex");
  signalling();
  show("signals");
  forks();
  show("forks");
  return 0;
}
