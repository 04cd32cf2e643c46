// Several CPUs tell each other what time it is: through locks, messages, software-generated interrupts and events. Instants
// must never go back, whoever reads them. What only this machine can promise begins with "!".
#include "payload.h"

#ifndef CPUS
#define CPUS 4
#endif
#define TURNS 800
#define SPINS 20
#define SGI 5
#define CELL __attribute__((aligned(64)))
// QEMU has a GPIO controller there whose ID registers ignore stores; here is nothing, and the test listens.
#define TELL_COUNTER (*(volatile u64 *)0x09030fe0ul)
#define STOP_FOR_NS (*(volatile u64 *)0x09030ff0ul)

static u64 level1[512] __attribute__((aligned(4096)));
char stacks[CPUS][8192] CELL;
static volatile u64 there[CPUS][8] CELL;

static inline u64 counter(void) {
  u64 value;
  asm volatile("isb\n mrs %0, cntvct_el0" : "=r"(value)::"memory");
  return value;
}

// ---- Locks: by exclusives, by an atomic, and by exclusives that wait for events ----

static void lock_exclusive(volatile u32 *at) {
  u32 old, failed;
  asm volatile("1: ldaxr %w0, [%2]\n cbnz %w0, 1b\n stxr %w1, %w3, [%2]\n cbnz %w1, 1b"
               : "=&r"(old), "=&r"(failed) : "r"(at), "r"(1) : "memory");
}

static void lock_atomic(volatile u32 *at) {
  u32 old;
  do asm volatile("swpa %w1, %w0, [%2]" : "=&r"(old) : "r"(1), "r"(at) : "memory");
  while (old);
}

static void lock_event(volatile u32 *at) {
  u32 old, failed;
  asm volatile("b 2f\n 1: wfe\n 2: ldaxr %w0, [%2]\n cbnz %w0, 1b\n stxr %w1, %w3, [%2]\n cbnz %w1, 2b"
               : "=&r"(old), "=&r"(failed) : "r"(at), "r"(1) : "memory");
}

static void unlock(volatile u32 *at) { asm volatile("stlr wzr, [%0]" ::"r"(at) : "memory"); }

// ---- All at once ----

static volatile u32 arrived CELL, round_ CELL;

// Waits until all have come here, asleep.
static void together(void) {
  u32 mine = round_, now;
  asm volatile("ldaddal %w1, %w0, [%2]" : "=r"(now) : "r"(1), "r"(&arrived) : "memory");
  if (now == CPUS - 1) {
    arrived = 0;
    asm volatile("dmb ish" ::: "memory");
    round_ = mine + 1;
  } else
    asm volatile("b 2f\n 1: wfe\n 2: ldaxr %w0, [%1]\n cmp %w0, %w2\n b.eq 1b"
                 : "=&r"(now) : "r"(&round_), "r"(mine) : "memory", "cc");
  asm volatile("dmb ish" ::: "memory");
}

static volatile u32 the_lock CELL;
static volatile u64 last CELL, back CELL, told[CPUS][8] CELL;

static void compare(u64 now) {
  if (now < last) back++;
  last = now;
}

static void locked(void (*lock)(volatile u32 *), int physical) {
  for (int i = 0; i < TURNS; i++) {
    lock(&the_lock);
    compare(physical ? READ(cntpct_el0) : counter());
    unlock(&the_lock);
    for (volatile int k = 0; k < i * 7 % 40; k++) {}
  }
}

static void add(volatile u64 *to) { asm volatile("stadd %0, [%1]" ::"r"(1ul), "r"(to) : "memory"); }

// Each tells the next what it has read; the next may not read less.
static void messages(int cpu) {
  int next = (cpu + 1) % CPUS;
  for (u64 i = 1; i <= TURNS / 4; i++) {
    told[next][1] = counter();
    asm volatile("dmb ish" ::: "memory");
    told[next][0] = i;
    while (told[cpu][0] < i) asm volatile("yield" ::: "memory");
    asm volatile("dmb ish" ::: "memory");
    if (counter() < told[cpu][1]) add(&back);
    together();
  }
}

void taken(u64 vector, u64 *frame) {
  (void)frame;
  u64 now = counter();
  int cpu = READ(mpidr_el1) & 15;
  if ((vector & 3) != 1) {
    put("an exception that nobody wanted\n");
    for (;;) {}
  }
  u32 intid = READ(S3_0_C12_C12_0);
  if (intid == SGI) {
    if (now < there[cpu][0]) add(&back);
    there[cpu][1]++;
  }
  WRITE(S3_0_C12_C12_1, intid);
}

// An interrupt is not taken before it is sent, by one who works and by one who sleeps.
static void interrupts(int cpu, int sleeps) {
  int next = (cpu + 1) % CPUS;
  for (u64 i = 1; i <= TURNS / 4; i++) {
    there[next][0] = counter();
    asm volatile("dsb ish" ::: "memory");
    WRITE(S3_0_C12_C11_5, ((u64)SGI << 24) | (1ul << next));
    for (;;) {
      asm volatile("msr daifset, #2" ::: "memory");
      if (there[cpu][1] >= i) break;
      if (sleeps) asm volatile("wfi" ::: "memory");
      asm volatile("msr daifclr, #2\n isb" ::: "memory");
    }
    asm volatile("msr daifclr, #2" ::: "memory");
    together();
  }
}

static void gic_on(int cpu) {
  volatile u32 *gicr = (volatile u32 *)(0x080a0000ul + 0x20000ul * cpu);
  gicr[0x14 / 4] = 0;
  WRITE(S3_0_C12_C12_5, 7);
  WRITE(S3_0_C4_C6_0, 0xf0);
  WRITE(S3_0_C12_C12_7, 1);
  gicr[0x10080 / 4] = ~0u;
  gicr[0x10100 / 4] = 1 << SGI;
  asm volatile("msr daifclr, #2" ::: "memory");
}

// ---- What this machine promises ----

static u64 cycles(void) { return READ(pmccntr_el0); }

static void count_cycles(void) {
  WRITE(pmccfiltr_el0, 0);
  WRITE(pmcntenset_el0, 1ul << 31);
  WRITE(pmcr_el0, 1 | 4 | 64);
}

// Cycles that go by while the counter goes on by 10 us.
static u64 spin(void) {
  u64 from = counter(), begun = cycles();
  while (counter() - from < 625) {}
  return cycles() - begun;
}

static volatile u64 spins_off CELL, spun CELL;

// All spin, and one of them is stopped for a while: each 10 us are 20,000 cycles at 2 GHz, for the others and afterwards.
static void spinning(int cpu, int stops) {
  for (int i = 0; i < SPINS; i++) {
    if (stops && cpu == CPUS - 1 && i == SPINS / 2) STOP_FOR_NS = 200000000;
    u64 took = spin();
    if (took < 18000 || took > 22000) add(&spins_off);
    add(&spun);
    TELL_COUNTER = counter();
  }
}

static volatile u64 released CELL, late CELL, woken CELL;

// One keeps a lock for 30 us; the others sleep for it, and wake when it is released.
static void waking(int cpu) {
  for (int i = 0; i < 20; i++) {
    together();
    if (cpu == 0) lock_event(&the_lock);
    together();
    if (cpu == 0) {
      u64 from = counter();
      while (counter() - from < 1875) {}
      released = counter();
      unlock(&the_lock);
    } else {
      lock_event(&the_lock);
      // A microsecond: of the instructions around it, and of those who were first.
      if (counter() - released > 63) add(&late);
      add(&woken);
      unlock(&the_lock);
    }
  }
}

// Bit 9 of the counter, every 1,024 ticks.
static void stream(void) {
  u64 off = 0;
  WRITE(cntkctl_el1, 4 | (9 << 4));
  asm volatile("wfe\n wfe" ::: "memory");
  u64 before = counter();
  for (int i = 0; i < 20; i++) {
    asm volatile("wfe" ::: "memory");
    u64 now = counter();
    if (now - before < 1020 || now - before > 1028 || (now & 1023) - 512 > 8) off++;
    before = now;
  }
  WRITE(cntkctl_el1, 0);
  count("! events of the stream that came at another time", off);
}

static volatile u64 granules[16] CELL;

// One has LDXR mark the first granule and waits in WFE for an event; another stores `at` words from its start after 10 us, and
// sends an event after 40. How it waited, in tens of microseconds.
static void monitor(int cpu, const char *what, int at, int clears) {
  u64 took = 0;
  together();
  if (cpu == CPUS - 1) {
    u64 from = counter(), value;
    asm volatile("sevl\n wfe\n ldxr %0, [%1]" : "=r"(value) : "r"(granules) : "memory");
    if (clears) asm volatile("clrex" ::: "memory");
    asm volatile("wfe" ::: "memory");
    took = counter() - from;
    while (counter() - from < 3750) {}
    told[0][2] = took;
  } else if (cpu == 0) {
    u64 from = counter();
    while (counter() - from < 625) {}
    granules[at] = 1;
    while (counter() - from < 2500) {}
    asm volatile("sev");
  }
  together();
  if (cpu == 0) count(what, (told[0][2] + 62) / 625);
}

static void show(int cpu, const char *what, volatile u64 *of) {
  together();
  if (cpu == 0) {
    count(what, *of);
    *of = last = 0;
    for (int i = 0; i < CPUS; i++) there[i][1] = told[i][0] = 0;
  }
  together();
}

static void all(int cpu) {
  gic_on(cpu);
  count_cycles();
  together();
  locked(lock_exclusive, 0);
  show(cpu, "reads that went back, under a lock of exclusives", &back);
  locked(lock_atomic, 1);
  show(cpu, "of the physical counter, under a lock of an atomic", &back);
  locked(lock_event, 0);
  show(cpu, "under a lock that is waited for by WFE", &back);
  messages(cpu);
  show(cpu, "less than a message said", &back);
  interrupts(cpu, 0);
  show(cpu, "interrupts before they were sent", &back);
  interrupts(cpu, 1);
  show(cpu, "to one who slept", &back);
}

static void here_only(int cpu) {
  if (cpu == 0) {
    u64 first = cycles(), second = cycles();
    count("! two reads of PMCCNTR_EL0 in a row are alike", first == second);
    stream();
  }
  together();
  spinning(cpu, 0);
  show(cpu, "! 10 us of spinning that took other than 18,000 to 22,000 cycles", &spins_off);
  spinning(cpu, 1);
  show(cpu, "! the same while one was stopped", &spins_off);
  show(cpu, "! spun", &spun);
  waking(cpu);
  show(cpu, "! woken by a store later than a microsecond", &late);
  show(cpu, "! woken", &woken);
  monitor(cpu, "! 10 us of WFE until a store to what was marked", 0, 0);
  monitor(cpu, "! until one to another word of the granule", 7, 0);
  monitor(cpu, "! until an event: the store was to another granule", 8, 0);
  monitor(cpu, "! until an event: CLREX had cleared the monitor, which is none itself", 0, 1);
}

extern char secondary[];
asm(".global secondary\n"
    "secondary: mov x20, x0\n"
    " adrp x1, stacks\n add x1, x1, :lo12:stacks\n add x0, x0, #1\n add x1, x1, x0, lsl #13\n mov sp, x1\n"
    " adrp x0, vectors\n add x0, x0, :lo12:vectors\n msr vbar_el1, x0\n"
    " mov x0, #(3 << 20)\n msr cpacr_el1, x0\n isb\n mov x0, x20\n bl other\n 1: wfi\n b 1b\n");

void other(int cpu) {
  map_as_it_lies(level1);
  all(cpu);
  here_only(cpu);
}

void run(void) {
  map_as_it_lies(level1);
  GICD(0) = 2;
  for (u64 cpu = 1; cpu < CPUS; cpu++) {
    register u64 x0 asm("x0") = 0xc4000003, x1 asm("x1") = cpu, x2 asm("x2") = (u64)secondary, x3 asm("x3") = cpu;
    asm volatile("hvc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)::"memory");
    if (x0 != 0) count("CPU_ON", x0);
  }
  all(0);
  put("shared\n");
  here_only(0);
  put("done\n");
}
