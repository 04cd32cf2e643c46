// What EL1 lets EL0 do (SCTLR_EL1.UCI, UCT, DZE, UMA, CNTKCTL_EL1), each result a line on the console that must be the same
// on QEMU.
#include "payload.h"
#include "at-el0.h"

// ---- Translation: identity for EL1, and RAM once more at 2 GiB for EL0 ----

#define USER 0x40000000ul

static u64 level1[512] __attribute__((aligned(4096)));

static void mmu_on(void) {
  level1[0] = 0 | VALID | AF;
  level1[1] = 0x40000000 | VALID | AF | INNER | NORMAL;
  level1[2] = 0x40000000 | VALID | AF | INNER | NORMAL | EL0;
  WRITE(mair_el1, 0xff00);
  WRITE(tcr_el1, 25 | (25ul << 16) | (1 << 8) | (1 << 10) | (3 << 12) | (2ul << 30) | (1 << 23) | (1ul << 32));
  WRITE(ttbr0_el1, level1);
  asm volatile("dsb ishst\n tlbi vmalle1is\n dsb ish\n isb" ::: "memory");
  WRITE(sctlr_el1, READ(sctlr_el1) | 1 | 4 | (1 << 12));
}

// ---- One instruction at EL0 ----

extern char back_from_el0[];
static u64 flags;

void taken(u64 number, u64 *frame) {
  u64 esr = READ(esr_el1);
  (void)frame;
  if (esr >> 26 == 0x15) {
    flags = READ(spsr_el1);
    WRITE(elr_el1, back_from_el0);
    WRITE(spsr_el1, 0x3c5);
    return;
  }
  put(" vector ");
  hex(number);
  put(" esr ");
  hex(esr);
  WRITE(elr_el1, READ(elr_el1) + 4);
}


static u64 data[8] __attribute__((aligned(64)));

static void at_el0(const char *text, char *code) {
  put(text);
  put(":");
  flags = 0;
  go((u64)code + USER, 0x3c0, (u64)data + USER);
  // What DAIF was.
  put(" daif ");
  hex(flags & 0x3c0);
  put("\n");
}

#define AT_EL0(text) \
  do { \
    char *code; \
    asm volatile("adr %0, 1f\n b 2f\n1: " text "\n svc #0\n2:" : "=r"(code)); \
    at_el0(text, code); \
  } while (0)

static void all(void) {
  AT_EL0("dc cvau, x3");
  AT_EL0("dc cvac, x3");
  AT_EL0("dc civac, x3");
  AT_EL0("dc cvap, x3");
  AT_EL0("ic ivau, x3");
  AT_EL0("dc zva, x3");
  AT_EL0("msr daifset, #1");
  AT_EL0("msr daifclr, #10");
  AT_EL0("mrs x5, daif");
  AT_EL0("msr daif, x3");
  AT_EL0("mrs x7, ctr_el0");
  AT_EL0("mrs x7, dczid_el0");
  AT_EL0("mrs x8, cntfrq_el0");
  AT_EL0("mrs x8, cntpct_el0");
  AT_EL0("mrs x8, cntvct_el0");
  AT_EL0("msr cntv_ctl_el0, xzr");
  AT_EL0("msr cntp_cval_el0, x3");
  AT_EL0("mrs x8, cntv_tval_el0");
  // For nobody at EL0.
  AT_EL0("dc ivac, x3");
  AT_EL0("dc isw, x3");
  AT_EL0("ic iallu");
  AT_EL0("at s1e0r, x3");
  AT_EL0("tlbi vmalle1");
  AT_EL0("msr spsel, #1");
  AT_EL0("msr pan, #1");
  AT_EL0("mrs x0, currentel");
  AT_EL0("mrs x0, sctlr_el1");
  AT_EL0("msr s3_3_c0_c0_1, x3");
  AT_EL0("msr cntfrq_el0, x3");
  AT_EL0("msr s3_3_c14_c0_2, x3");
  AT_EL0("mrs x8, s3_3_c14_c0_7");
  AT_EL0("msr s2_3_c0_c1_0, x3");
  AT_EL0("hvc #0");
  AT_EL0("eret");
  AT_EL0("mrs x8, pmcr_el0");
  AT_EL0("msr pmswinc_el0, x3");
  AT_EL0("mrs x8, pmuserenr_el0");
}

// A pending interrupt, which DAIF masks.
static void timer_waits(void) {
  take_ppi(27);
  WRITE(cntv_cval_el0, 0);
  WRITE(cntv_ctl_el0, 1);
}

void run(void) {
  mmu_on();
  // UMA, DZE, UCT, UCI, and what CNTKCTL_EL1 has.
  u64 user = (1 << 9) | (1 << 14) | (1 << 15) | (1 << 26), timers = 0x303, sctlr = READ(sctlr_el1) & ~user;
  put("nothing is allowed\n");
  WRITE(sctlr_el1, sctlr);
  WRITE(cntkctl_el1, 0);
  WRITE(pmuserenr_el0, 0);
  all();
  put("all is allowed\n");
  WRITE(sctlr_el1, sctlr | user);
  WRITE(cntkctl_el1, timers);
  WRITE(pmuserenr_el0, 0xf);
  all();
  // The trap comes before the wait, but not where there would be none. (WFE never waits on QEMU, nor is it trapped.)
  put("not to wait\n");
  WRITE(sctlr_el1, (sctlr | user) & ~(1ul << 16));
  AT_EL0("wfi");
  put("WFI while an interrupt waits\n");
  timer_waits();
  AT_EL0("wfi");
  put("done\n");
}
