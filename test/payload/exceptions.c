// Exceptions, translation, exclusives, timers and the GIC, each as a line on the console that must be the same on QEMU.
#include "payload.h"

// What the last synchronous exception was, and how many interrupts came by INTID.
static volatile u64 esr, far, spsr, vector;
static volatile u32 interrupts[64];
static volatile u32 taken_count;
// Where to go on instead of behind the instruction; 0: behind it.
static volatile u64 resume;

void taken(u64 number, u64 *frame) {
  (void)frame;
  if ((number & 3) == 1) {
    u32 intid = READ(S3_0_C12_C12_0);
    if (intid < 64) {
      interrupts[intid]++;
      if (intid == 27) WRITE(cntv_ctl_el0, 0);
      if (intid == 30) WRITE(cntp_ctl_el0, 0);
      WRITE(S3_0_C12_C12_1, intid);
    }
    return;
  }
  vector = number;
  esr = READ(esr_el1);
  far = READ(far_el1);
  spsr = READ(spsr_el1);
  taken_count++;
  if (resume) {
    WRITE(elr_el1, resume);
    resume = 0;
  } else if (esr >> 26 != 0x15) WRITE(elr_el1, READ(elr_el1) + 4);
}

static void fault(const char *what) {
  put(what);
  put(": vector ");
  hex(vector);
  put(" esr ");
  hex(esr);
  put(" far ");
  hex(far);
  put(" taken ");
  hex(taken_count);
  put("\n");
  taken_count = 0;
}

// ---- Translation: identity blocks for devices and RAM, and one page table to play with ----

static u64 level1[512] __attribute__((aligned(4096)));
static u64 level2[512] __attribute__((aligned(4096)));
static u64 level3[512] __attribute__((aligned(4096)));
static u64 pages[4][512] __attribute__((aligned(4096)));

#define NOT_GLOBAL (1 << 11)
// The third GiB: a level 3 table at its start.
#define WINDOW 0x80000000ul

static void invalidate(void) {
  asm volatile("dsb ishst\n tlbi vmalle1is\n dsb ish\n isb" ::: "memory");
}

static void invalidate_page(u64 va) {
  asm volatile("dsb ishst\n tlbi vaae1is, %0\n dsb ish\n isb" ::"r"(va >> 12) : "memory");
}

static void mmu_on(void) {
  level1[0] = 0 | VALID | AF;                                  // devices
  level1[1] = 0x40000000 | VALID | AF | INNER | NORMAL;        // RAM
  level1[2] = (u64)level2 | TABLE;
  level2[0] = (u64)level3 | TABLE;
  WRITE(mair_el1, 0xff00);
  // 39-bit addresses in both halves, 4 KiB granules, write-back inner shareable walks; TTBR1 off.
  WRITE(tcr_el1, 25 | (25ul << 16) | (1 << 8) | (1 << 10) | (3 << 12) | (2ul << 30) | (1 << 23) | (1ul << 32));
  WRITE(ttbr0_el1, level1);
  invalidate();
  WRITE(sctlr_el1, READ(sctlr_el1) | 1 | 4 | (1 << 12));
}

static void map(int index, void *page, u64 attributes) {
  level3[index] = page ? ((u64)page | PAGE | AF | INNER | NORMAL | attributes) : 0;
}

static u64 load(u64 va) {
  u64 value;
  asm volatile("ldr %0, [%1]" : "=r"(value) : "r"(va) : "memory");
  return value;
}

static void store(u64 va, u64 value) {
  asm volatile("str %0, [%1]" ::"r"(value), "r"(va) : "memory");
}

static void translation(void) {
  mmu_on();
  pages[0][0] = 0x1111;
  pages[1][0] = 0x2222;
  map(0, pages[0], 0);
  map(1, pages[1], READ_ONLY);
  invalidate();
  line("mapped", load(WINDOW));
  load(WINDOW + 0x5000);
  fault("not mapped");
  store(WINDOW + 0x1008, 1);
  fault("read-only");
  load(0x7f00000000);
  fault("level 1");
  load(0xffffff8000000000ul);
  fault("upper half");
  load(0x0080000000000000ul);
  fault("neither half");
  map(2, pages[2], 0);
  level3[2] &= ~AF;
  invalidate();
  load(WINDOW + 0x2000);
  fault("access flag");
  // Another page behind the same address.
  map(0, pages[1], 0);
  invalidate_page(WINDOW);
  line("mapped anew", load(WINDOW));
  // Across two pages that are not neighbours.
  map(0, pages[2], 0);
  map(1, pages[0], 0);
  invalidate();
  store(WINDOW + 0xffc, 0x0123456789abcdef);
  line("first half", pages[2][511]);
  line("second half", pages[0][0]);
  line("crossing", load(WINDOW + 0xffc));
  map(1, 0, 0);
  invalidate();
  pages[2][511] = 7;
  store(WINDOW + 0xffc, 0xffffffffffffffff);
  fault("crossing into nothing");
  line("left alone", pages[2][511]);
  // PAN: EL0 may read it, so EL1 may not.
  map(1, pages[0], EL0);
  invalidate();
  asm volatile("msr pan, #1");
  load(WINDOW + 0x1000);
  fault("PAN");
  u64 value = 0;
  asm volatile("ldtr %0, [%1]" : "=r"(value) : "r"(WINDOW + 0x1000));
  line("LDTR", value);
  asm volatile("msr pan, #0");
  line("without PAN", load(WINDOW + 0x1000));
  asm volatile("ldtr %0, [%1]" : "=r"(value) : "r"(WINDOW + 0x2000));
  fault("LDTR of the kernel's");
  asm volatile("at s1e1r, %0\n isb" ::"r"(WINDOW + 0x1000));
  // NS is UNKNOWN in Non-secure state.
  line("AT: page", (READ(par_el1) & ~(1ul << 9)) - (u64)pages[0]);
  asm volatile("at s1e0w, %0\n isb" ::"r"(WINDOW + 0x9000));
  line("AT: fault", READ(par_el1) & ~(1ul << 9));
  asm volatile("at s1e0r, %0\n isb" ::"r"(WINDOW));
  line("AT: EL0", READ(par_el1) & ~(1ul << 9));
}

// ---- Exceptions ----

static void exceptions(void) {
  asm volatile("svc #0x1234");
  fault("SVC");
  asm volatile("brk #0x77");
  fault("BRK");
  asm volatile(".word 0x00000000");
  fault("UDF");
  asm volatile("mrs x0, S3_7_C15_C15_7" ::: "x0");
  fault("unknown register");
  u64 odd = (u64)&pages[3][0] + 1;
  u32 value;
  asm volatile("ldxr %w0, [%1]" : "=r"(value) : "r"(odd));
  fault("misaligned LDXR");
  asm volatile("ldar %w0, [%1]" : "=r"(value) : "r"(odd));
  fault("misaligned LDAR");
  pages[3][0] = 0x1122334455667788;
  asm volatile("ldr %w0, [%1]" : "=r"(value) : "r"(odd));
  line("misaligned LDR", value);
  u64 behind;
  asm volatile("adr %0, 1f\n str %0, [%1]\n add x9, %0, #2\n br x9\n1:" : "=&r"(behind) : "r"(&resume) : "x9", "memory");
  put("misaligned PC: esr ");
  hex(esr);
  put(" offset ");
  hex(far - behind);
  put("\n");
  taken_count = 0;
  WRITE(cpacr_el1, 0);
  asm volatile("fmov d0, xzr");
  fault("FP trapped");
  WRITE(cpacr_el1, 3 << 20);
  line("SPSR", spsr & 0xf00003ff);
  line("CurrentEL", READ(CurrentEL));
  line("DAIF", READ(daif));
  asm volatile("msr daifclr, #2\n msr daifset, #1");
  line("DAIF", READ(daif));
  asm volatile("msr daifset, #15");
}

// ---- Exclusives and atomics ----

static void exclusives(void) {
  u64 *at = &pages[3][0];
  u32 failed;
  u64 value;
  *at = 5;
  asm volatile("ldxr %0, [%2]\n stxr %w1, %3, [%2]" : "=&r"(value), "=&r"(failed) : "r"(at), "r"(6ul) : "memory");
  line("STXR", failed);
  line("stored", *at);
  asm volatile("stxr %w0, %2, [%1]" : "=&r"(failed) : "r"(at), "r"(7ul) : "memory");
  line("STXR without LDXR", failed);
  asm volatile("ldxr %0, [%2]\n clrex\n stxr %w1, %3, [%2]" : "=&r"(value), "=&r"(failed) : "r"(at), "r"(8ul) : "memory");
  line("STXR after CLREX", failed);
  asm volatile("ldxr %0, [%2]\n svc #1\n stxr %w1, %3, [%2]" : "=&r"(value), "=&r"(failed) : "r"(at), "r"(9ul) : "memory");
  taken_count = 0;
  line("STXR after an exception", failed);
  u64 first = 1, second = 2;
  at[0] = 10;
  at[1] = 11;
  asm volatile("ldxp %0, %1, [%3]\n stxp %w2, %1, %0, [%3]" : "=&r"(first), "=&r"(second), "=&r"(failed) : "r"(at) : "memory");
  line("STXP", failed);
  line("swapped", at[0] * 256 + at[1]);
  asm volatile(".arch armv8.2-a\n ldadd %1, %0, [%2]" : "=r"(value) : "r"(100ul), "r"(at) : "memory");
  line("LDADD", *at * 65536 + value);
  register u64 old0 asm("x2") = 111, old1 asm("x3") = 10, new0 asm("x4") = 1, new1 asm("x5") = 2;
  asm volatile("casp x2, x3, x4, x5, [%4]" : "+r"(old0), "+r"(old1) : "r"(new0), "r"(new1), "r"(at) : "memory");
  line("CASP", at[0] * 256 + at[1]);
}

// ---- Code that changes ----

static u32 code[64] __attribute__((aligned(64)));

static u64 call(void) {
  return ((u64(*)(void))code)();
}

static void write_code(u32 value) {
  code[0] = 0xd2800000 | (value << 5);
  code[1] = 0xd65f03c0;
  asm volatile("dc cvau, %0\n dsb ish\n ic ivau, %0\n dsb ish\n isb" ::"r"(code) : "memory");
}

static void changing_code(void) {
  write_code(1);
  line("code", call());
  write_code(2);
  line("other code", call());
  code[0] = 0xd2800060;
  asm volatile("dsb ish\n ic iallu\n dsb ish\n isb" ::: "memory");
  line("third code", call());
}

// ---- Interrupts ----

static void wait_for(u32 intid) {
  for (int i = 0; i < 1000000 && interrupts[intid] == 0; i++) asm volatile("" ::: "memory");
}

static void gic(void) {
  GICR(0x14) = 0;
  GICD(0) = 2;
  GICD(0) = 0x12;
  WRITE(S3_0_C12_C12_5, 7);
  WRITE(S3_0_C4_C6_0, 0xf0);
  WRITE(S3_0_C12_C12_7, 1);
  GICR(0x10080) = ~0u;
  GICR(0x10100) = (1 << 27) | (1 << 30) | 0xffff;
  for (int i = 0; i < 8; i++) GICR(0x10400 + 4 * i) = 0xa0a0a0a0;
  line("priority", GICR(0x10400));
  GICR(0x10400) = 0xf8011340;
  // KVM implements five bits.
  line("priority bits", GICR(0x10400) & 0xf8f8f8f8);
  GICR(0x10400) = 0xa0a0a0a0;
  line("enabled", GICR(0x10100));
  asm volatile("msr daifclr, #2");
  // An SGI to this PE.
  WRITE(S3_0_C12_C11_5, 1 | (3ul << 24));
  wait_for(3);
  line("SGI", interrupts[3]);
  // Masked by priority: pending until the mask rises.
  WRITE(S3_0_C4_C6_0, 0x80);
  WRITE(S3_0_C12_C11_5, 1 | (4ul << 24));
  line("masked", interrupts[4]);
  line("pending", GICR(0x10200));
  line("HPPIR", READ(S3_0_C12_C12_2));
  WRITE(S3_0_C4_C6_0, 0xf0);
  wait_for(4);
  line("unmasked", interrupts[4]);
  // Timers, by CVAL and by TVAL.
  WRITE(cntv_cval_el0, READ(cntvct_el0) + 100);
  WRITE(cntv_ctl_el0, 1);
  wait_for(27);
  line("virtual timer", interrupts[27]);
  WRITE(cntp_tval_el0, 100);
  WRITE(cntp_ctl_el0, 1);
  wait_for(30);
  line("physical timer", interrupts[30]);
  WRITE(cntv_cval_el0, 0);
  WRITE(cntv_ctl_el0, 3);
  line("timer status", READ(cntv_ctl_el0));
  line("still", interrupts[27]);
  // WFI wakes at a pending interrupt even while it is masked.
  asm volatile("msr daifset, #2");
  WRITE(cntv_cval_el0, READ(cntvct_el0) + 1000);
  WRITE(cntv_ctl_el0, 1);
  asm volatile("wfi");
  line("after WFI", interrupts[27]);
  asm volatile("msr daifclr, #2\n isb");
  line("taken", interrupts[27]);
  asm volatile("msr daifset, #15");
}

void run(void) {
  asm volatile("msr daifset, #15");
  translation();
  exceptions();
  exclusives();
  changing_code();
  gic();
  put("done\n");
}
