// EL0 code of a known length while the virtual timer interrupts it again and again, counted by the PMU by exception level.
#include "payload.h"

static u64 level1[512] __attribute__((aligned(4096)));

extern char back_from_el0[];
static volatile u64 interrupts, faults, period;

void taken(u64 number, u64 *frame) {
  (void)frame;
  if ((number & 3) == 1) {
    u32 intid = READ(S3_0_C12_C12_0);
    interrupts++;
    WRITE(cntv_cval_el0, READ(cntvct_el0) + period);
    WRITE(S3_0_C12_C12_1, intid);
    return;
  }
  if (READ(esr_el1) >> 26 != 0x15) {
    // An instruction that did not happen, though it does in the end: its page is not there at first.
    faults++;
    level1[2] |= 1;
    asm volatile("dsb ishst\n tlbi vmalle1is\n dsb ish\n isb" ::: "memory");
    return;
  }
  WRITE(elr_el1, back_from_el0);
  WRITE(spsr_el1, 0x3c5);
}

// go(entry, spsr, turns, slot): at EL0, until SVC.
extern void go(u64 entry, u64 spsr, u64 turns, u64 slot);
extern char program[];
asm(".global go, back_from_el0, program\n"
    "go: stp x29, x30, [sp, #-96]!\n"
    " stp x19, x20, [sp, #16]\n stp x21, x22, [sp, #32]\n stp x23, x24, [sp, #48]\n"
    " stp x25, x26, [sp, #64]\n stp x27, x28, [sp, #80]\n"
    " msr elr_el1, x0\n msr spsr_el1, x1\n mov x4, x3\n mov x3, x2\n eret\n"
    "back_from_el0:\n"
    " ldp x19, x20, [sp, #16]\n ldp x21, x22, [sp, #32]\n ldp x23, x24, [sp, #48]\n"
    " ldp x25, x26, [sp, #64]\n ldp x27, x28, [sp, #80]\n ldp x29, x30, [sp], #96\n ret\n"
    // Four instructions a turn, a store and a load among them, and SVC.
    ".balign 64\n"
    "program: str x3, [x4]\n ldr x5, [x4]\n sub x3, x3, #1\n cbnz x3, program\n svc #0\n");

#define TURNS 25000
#define USER 0x40000000ul

static u64 slot[8];

static void measure(const char *what, u64 every) {
  put(what);
  put("\n");
  interrupts = faults = 0;
  period = every;
  level1[2] &= ~1ul;
  asm volatile("dsb ishst\n tlbi vmalle1is\n dsb ish\n isb" ::: "memory");
  WRITE(pmcr_el0, 6);
  if (every) {
    WRITE(cntv_cval_el0, READ(cntvct_el0) + every);
    WRITE(cntv_ctl_el0, 1);
  }
  WRITE(pmcr_el0, 1);
  go((u64)program + USER, 0x340, TURNS, (u64)slot + USER);
  WRITE(pmcr_el0, 0);
  WRITE(cntv_ctl_el0, 0);
  u64 el0 = READ(pmevcntr0_el0), el1 = READ(pmevcntr1_el0), both = READ(pmevcntr2_el0), cycles = READ(pmccntr_el0);
  count("EL0", el0);
  count("EL1 too many", el0 + el1 - both);
  count("cycles too many", cycles - both - 16 * READ(pmevcntr3_el0));
  count("exceptions but interrupts and faults", READ(pmevcntr3_el0) - interrupts - faults);
  count("returns but of exceptions", READ(pmevcntr4_el0) - interrupts - faults);
  put(interrupts > 50 ? "many interrupts\n" : interrupts ? "few interrupts\n" : "no interrupts\n");
  count("faults", faults);
}

void run(void) {
  // Once more for EL0.
  level1[2] = RAM_BLOCK | (1 << 6);
  map_as_it_lies(level1);
  take_ppi(27);
  WRITE(pmevtyper0_el0, 8 | (1ul << 31));
  WRITE(pmevtyper1_el0, 8 | (1ul << 30));
  WRITE(pmevtyper2_el0, 8);
  WRITE(pmevtyper3_el0, 9);
  WRITE(pmevtyper4_el0, 10);
  WRITE(pmccfiltr_el0, 0);
  WRITE(pmcntenset_el0, 0x8000001f);
  measure("without a timer", 0);
  measure("every 31 ticks", 31);
  measure("every 9 ticks", 9);
  put("done\n");
}
