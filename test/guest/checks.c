/*
 * What a process may ask of a kernel, checked in the guest. "checks NAME [ARGUMENT]" prints "NAME ok" or says what is
 * wrong and ends with 1.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition, ...)                                                   \
  do {                                                                          \
    if (!(condition)) {                                                         \
      printf("line %d: %s: ", __LINE__, #condition);                            \
      printf(__VA_ARGS__);                                                      \
      printf(" (errno %d)\n", errno);                                           \
      exit(1);                                                                  \
    }                                                                           \
  } while (0)

static const long PAGE = 4096;

/* Signals ------------------------------------------------------------------------------------------------------- */

static sigjmp_buf back;
static volatile siginfo_t caught;
static volatile sig_atomic_t times;

static void remember(int number, siginfo_t *info, void *context) {
  (void)number;
  (void)context;
  *(siginfo_t *)&caught = *info;
  times++;
}

static void jump(int number, siginfo_t *info, void *context) {
  remember(number, info, context);
  siglongjmp(back, 1);
}

static void handle(int number, void (*handler)(int, siginfo_t *, void *)) {
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
  sigemptyset(&action.sa_mask);
  CHECK(sigaction(number, &action, NULL) == 0, "signal %d", number);
}

/* An access that must fail, and what the handler was told about it. */
#define FAULTS(access, signal, code, address)                                                                     \
  do {                                                                                                            \
    if (sigsetjmp(back, 1) == 0) {                                                                                \
      access;                                                                                                     \
      CHECK(0, "no signal");                                                                                      \
    }                                                                                                             \
    CHECK(caught.si_signo == (signal) && caught.si_code == (code), "signal %d, code %d", caught.si_signo,         \
          caught.si_code);                                                                                        \
    CHECK(caught.si_addr == (void *)(address), "at %p instead of %p", caught.si_addr, (void *)(address));         \
  } while (0)

static void wait_until(int wanted) {
  sigset_t none;
  sigemptyset(&none);
  while (times < wanted) sigsuspend(&none);
}

static void signals(void) {
  sigset_t held;
  handle(SIGSEGV, jump);
  handle(SIGBUS, jump);
  handle(SIGILL, jump);
  handle(SIGTRAP, jump);

  volatile char *nowhere = (char *)0x10;
  FAULTS((void)*nowhere, SIGSEGV, SEGV_MAPERR, nowhere);
  volatile char *page = mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  FAULTS(page[100] = 1, SIGSEGV, SEGV_ACCERR, page + 100);
  FILE *file = tmpfile();
  CHECK(file != NULL, "tmpfile");
  volatile char *beyond = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fileno(file), 0);
  FAULTS((void)*beyond, SIGBUS, BUS_ADRERR, beyond);
  if (sigsetjmp(back, 1) == 0) __asm__ volatile("udf #0");
  CHECK(caught.si_signo == SIGILL && caught.si_code == ILL_ILLOPC, "%d, %d", caught.si_signo, caught.si_code);
  if (sigsetjmp(back, 1) == 0) __asm__ volatile("brk #7");
  CHECK(caught.si_signo == SIGTRAP && caught.si_code == TRAP_BRKPT, "%d, %d", caught.si_signo, caught.si_code);

  /* Held until they are waited for: none is missed, and no sleep is needed. */
  sigemptyset(&held);
  sigaddset(&held, SIGALRM);
  sigaddset(&held, SIGCHLD);
  sigaddset(&held, SIGFPE);
  sigprocmask(SIG_BLOCK, &held, NULL);

  handle(SIGFPE, remember);
  times = 0;
  kill(getpid(), SIGFPE);
  wait_until(1);
  CHECK(caught.si_signo == SIGFPE && caught.si_code == SI_USER && caught.si_pid == getpid(), "kill");

  handle(SIGCHLD, remember);
  times = 0;
  pid_t child = fork();
  if (child == 0) _exit(42);
  wait_until(1);
  CHECK(caught.si_code == CLD_EXITED && caught.si_status == 42 && caught.si_pid == child, "child");
  int status;
  CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 42, "status %d", status);

  handle(SIGALRM, remember);
  times = 0;
  struct itimerval every = {.it_interval = {0, 2000}, .it_value = {0, 2000}};
  setitimer(ITIMER_REAL, &every, NULL);
  wait_until(10);
  struct itimerval off = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &off, NULL);
  CHECK(caught.si_signo == SIGALRM, "%d", caught.si_signo);

  /* An integer division by zero is no exception on arm64: its quotient is 0 (Arm ARM, SDIV). */
  volatile int zero = 0, one = 1;
  int quotient;
  __asm__("sdiv %w0, %w1, %w2" : "=r"(quotient) : "r"(one), "r"(zero));
  CHECK(quotient == 0, "%d", quotient);
}

/* Memory -------------------------------------------------------------------------------------------------------- */

static void memory(void) {
  handle(SIGSEGV, jump);
  for (int round = 0; round < 300; round++) {
    long pages = 1 + round % 37;
    unsigned char *map = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(map != MAP_FAILED, "mmap");
    for (long i = 0; i < pages; i++) CHECK(map[i * PAGE] == 0, "a new page has %d", map[i * PAGE]);
    memset(map, round & 255, pages * PAGE);
    volatile unsigned char *last = map + (pages - 1) * PAGE;
    CHECK(mprotect((void *)last, PAGE, PROT_READ) == 0, "mprotect");
    CHECK(*last == (round & 255), "lost by mprotect");
    FAULTS(*last = 1, SIGSEGV, SEGV_ACCERR, last);
    CHECK(mprotect((void *)last, PAGE, PROT_NONE) == 0, "mprotect");
    FAULTS((void)*last, SIGSEGV, SEGV_ACCERR, last);
    CHECK(mprotect((void *)last, PAGE, PROT_READ | PROT_WRITE) == 0, "mprotect");
    *last = 77;
    CHECK(*last == 77, "%d", *last);
    CHECK(munmap(map, pages * PAGE) == 0, "munmap");
    FAULTS((void)*last, SIGSEGV, SEGV_MAPERR, last);
  }
  /* Code that is written, run, written anew and run again: caches must follow. */
  uint32_t *code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(code != MAP_FAILED, "mmap");
  for (uint32_t i = 0; i < 1000; i++) {
    code[0] = 0x52800000 | i << 5; /* MOV W0, #i */
    code[1] = 0xd65f03c0;          /* RET */
    __builtin___clear_cache((char *)code, (char *)(code + 2));
    uint32_t got = ((uint32_t(*)(void))code)();
    CHECK(got == i, "%u instead of %u", got, i);
  }
  /* Copy on write. */
  volatile int *mine = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  volatile int *ours = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  *mine = *ours = 1;
  pid_t child = fork();
  if (child == 0) {
    *mine = *ours = 2;
    _exit(0);
  }
  CHECK(waitpid(child, NULL, 0) == child, "waitpid");
  CHECK(*mine == 1 && *ours == 2, "%d, %d", *mine, *ours);
}

/* Processes ----------------------------------------------------------------------------------------------------- */

static void processes(int count, const char *self) {
  for (int i = 0; i < count; i++) {
    pid_t child = fork();
    CHECK(child >= 0, "fork %d", i);
    if (child == 0) {
      char number[16];
      snprintf(number, sizeof number, "%d", i & 127);
      execl(self, self, "exit", number, (char *)NULL);
      _exit(255);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child, "waitpid");
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == (i & 127), "process %d: status %x", i, status);
  }
}

/* A mebibyte goes through five processes, each of which adds one to each byte. */
static void pipes(void) {
  enum { STAGES = 5, BYTES = 1 << 20 };
  int in[2];
  CHECK(pipe(in) == 0, "pipe");
  int from = in[0];
  for (int stage = 0; stage < STAGES; stage++) {
    int out[2];
    CHECK(pipe(out) == 0, "pipe");
    if (fork() == 0) {
      unsigned char buffer[7001];
      close(in[1]);
      close(out[0]);
      for (ssize_t count; (count = read(from, buffer, sizeof buffer)) > 0;) {
        for (ssize_t i = 0; i < count; i++) buffer[i]++;
        for (ssize_t done = 0; done < count;) done += write(out[1], buffer + done, count - done);
      }
      _exit(0);
    }
    close(from);
    close(out[1]);
    from = out[0];
  }
  if (fork() == 0) {
    static unsigned char all[BYTES];
    for (int i = 0; i < BYTES; i++) all[i] = (unsigned char)(i * 31 >> 3);
    for (ssize_t done = 0; done < BYTES;) done += write(in[1], all + done, BYTES - done);
    _exit(0);
  }
  close(in[0]);
  close(in[1]);
  unsigned char buffer[4096];
  int at = 0;
  for (ssize_t count; (count = read(from, buffer, sizeof buffer)) > 0;)
    for (ssize_t i = 0; i < count; i++, at++)
      CHECK(buffer[i] == (unsigned char)((at * 31 >> 3) + STAGES), "byte %d is %d", at, buffer[i]);
  CHECK(at == BYTES, "%d bytes", at);
  while (wait(NULL) > 0) continue;
}

/* Threads ------------------------------------------------------------------------------------------------------- */

enum { MOST_THREADS = 16, ROUNDS = 20000 };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long guarded, guarded_twin;
static atomic_long added, exchanged, masked;
static _Atomic(struct node *) stack;
static struct node {
  struct node *next;
  int seen;
} nodes[MOST_THREADS][500];

static void *work(void *argument) {
  long self = (long)argument;
  for (int i = 0; i < ROUNDS; i++) {
    pthread_mutex_lock(&lock);
    guarded++;
    CHECK(guarded == guarded_twin + 1, "two threads hold the mutex");
    guarded_twin++;
    pthread_mutex_unlock(&lock);
    atomic_fetch_add_explicit(&added, 1, memory_order_relaxed);
    long old = atomic_load(&exchanged);
    while (!atomic_compare_exchange_weak(&exchanged, &old, old + 3)) continue;
    atomic_fetch_xor(&masked, 1L << self);
    if (i % 1000 == 0) sched_yield();
  }
  for (int i = 0; i < 500; i++) {
    struct node *node = &nodes[self][i];
    node->next = atomic_load(&stack);
    while (!atomic_compare_exchange_weak(&stack, &node->next, node)) continue;
  }
  return NULL;
}

static void threads(int count) {
  pthread_t ids[MOST_THREADS];
  CHECK(count <= MOST_THREADS, "%d threads", count);
  for (long i = 0; i < count; i++) CHECK(pthread_create(&ids[i], NULL, work, (void *)i) == 0, "create %ld", i);
  for (int i = 0; i < count; i++) CHECK(pthread_join(ids[i], NULL) == 0, "join %d", i);
  long all = (long)count * ROUNDS;
  CHECK(guarded == all, "mutex: %ld of %ld", guarded, all);
  CHECK(added == all, "add: %ld of %ld", added, all);
  CHECK(exchanged == 3 * all, "compare and exchange: %ld of %ld", exchanged, 3 * all);
  CHECK(masked == 0, "exclusive or: %lx", masked);
  long listed = 0;
  for (struct node *node = stack; node != NULL; node = node->next) {
    CHECK(node->seen++ == 0, "a node is listed twice");
    listed++;
  }
  CHECK(listed == count * 500L, "%ld nodes", listed);
}

/* Time ---------------------------------------------------------------------------------------------------------- */

static int64_t now_ns(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

/* All of it is the guest's own time: how fast this computer is has no part in it. */
static void clocks(void) {
  static const int64_t MS = 1000000;
  int64_t before = now_ns(CLOCK_MONOTONIC);
  for (int i = 0; i < 200000; i++) {
    int64_t now = now_ns(CLOCK_MONOTONIC);
    CHECK(now >= before, "back by %" PRId64 " ns", before - now);
    before = now;
  }
  for (int i = 0; i < 20; i++) {
    int64_t wanted = (i + 1) * MS / 2;
    struct timespec span = {0, wanted};
    before = now_ns(CLOCK_MONOTONIC);
    CHECK(nanosleep(&span, NULL) == 0, "nanosleep");
    int64_t slept = now_ns(CLOCK_MONOTONIC) - before;
    CHECK(slept >= wanted && slept < wanted + MS, "%" PRId64 " ns instead of %" PRId64, slept, wanted);
  }
  /* Expirations of a periodic timer stay on its grid, however long a handler takes. */
  timer_t timer;
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN);
  sigprocmask(SIG_BLOCK, &set, NULL);
  CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0, "timer_create");
  struct itimerspec every = {.it_interval = {0, 5 * MS}, .it_value = {0, 5 * MS}};
  before = now_ns(CLOCK_MONOTONIC);
  timer_settime(timer, 0, &every, NULL);
  for (int i = 1; i <= 10; i++) {
    siginfo_t info;
    CHECK(sigwaitinfo(&set, &info) == SIGRTMIN, "sigwaitinfo");
    int64_t late = now_ns(CLOCK_MONOTONIC) - before - i * 5 * MS;
    CHECK(late > -MS / 100 && late < MS, "expiry %d is %" PRId64 " ns late", i, late);
  }
  timer_delete(timer);
  /* A busy process gets as much of its processor as there is time. */
  before = now_ns(CLOCK_MONOTONIC);
  int64_t used = now_ns(CLOCK_PROCESS_CPUTIME_ID);
  while (now_ns(CLOCK_MONOTONIC) - before < 20 * MS) continue;
  used = now_ns(CLOCK_PROCESS_CPUTIME_ID) - used;
  CHECK(used > 15 * MS && used < 22 * MS, "%" PRId64 " ns of 20 ms", used);
}

static void randomness(void) {
  enum { WORDS = 512 };
  static uint64_t words[2][WORDS];
  for (int i = 0; i < 2; i++)
    CHECK(getrandom(words[i], sizeof words[i], 0) == sizeof words[i], "getrandom");
  int ones = 0;
  for (int i = 0; i < WORDS; i++) {
    CHECK(words[0][i] != words[1][i], "word %d comes twice", i);
    ones += __builtin_popcountll(words[0][i]);
  }
  /* 32,768 fair coins: 16,384 heads, and more than 1,000 away is eleven standard deviations. */
  CHECK(ones > 15384 && ones < 17384, "%d ones", ones);
}

int main(int count, char **words) {
  const char *name = count > 1 ? words[1] : "";
  int argument = count > 2 ? atoi(words[2]) : 0;
  if (strcmp(name, "exit") == 0) return argument;
  if (strcmp(name, "signals") == 0) signals();
  else if (strcmp(name, "memory") == 0) memory();
  else if (strcmp(name, "processes") == 0) processes(argument, words[0]);
  else if (strcmp(name, "pipes") == 0) pipes();
  else if (strcmp(name, "threads") == 0) threads(argument);
  else if (strcmp(name, "clocks") == 0) clocks();
  else if (strcmp(name, "randomness") == 0) randomness();
  else CHECK(0, "no check \"%s\"", name);
  printf("%s ok\n", name);
  return 0;
}
