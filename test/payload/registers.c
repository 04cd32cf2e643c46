// Registers of EL1 that have little in them, or bits that are what they are; and the PMU's. Where QEMU prints something else the
// test says what, and who is right.
#include "payload.h"

static volatile u64 esr;

void taken(u64 number, u64 *frame) {
  (void)number, (void)frame;
  esr = READ(esr_el1);
  WRITE(elr_el1, READ(elr_el1) + 4);
}

static void told(const char *what, u64 value) {
  put(what);
  if (esr) put(": esr "), hex(esr);
  else put(": "), hex(value);
  put("\n");
  esr = 0;
}

// What a register holds, and what after all ones and all zeros were written to it.
#define ALL_OF(reg) \
  do { \
    u64 value_ = READ(reg); \
    told(#reg, value_); \
    WRITE(reg, ~0ul); \
    value_ = READ(reg); \
    told("ones to " #reg, value_); \
    WRITE(reg, 0); \
    value_ = READ(reg); \
    told("zeros to " #reg, value_); \
  } while (0)

#define LORSA_EL1 S3_0_C10_C4_0
#define LOREA_EL1 S3_0_C10_C4_1
#define LORN_EL1 S3_0_C10_C4_2
#define LORC_EL1 S3_0_C10_C4_3
#define LORID_EL1 S3_0_C10_C4_7

// CP15BEN, nAA, ITD, SED, EOS, TSCXT, IESB, EIS, nTLSMD and LSMAOE: of features that are not there.
#define ABSENT 0x307009e0ul
#define SA_AND_SA0 0x18ul

static void control(void) {
  u64 before = READ(sctlr_el1);
  told("SCTLR_EL1.SA and SA0 out of reset", before & SA_AND_SA0);
  WRITE(sctlr_el1, before | ABSENT);
  told("ones to SCTLR_EL1's absent bits", READ(sctlr_el1) & ABSENT);
  WRITE(sctlr_el1, before & ~ABSENT);
  told("zeros to SCTLR_EL1's absent bits", READ(sctlr_el1) & ABSENT);
  WRITE(sctlr_el1, before);
}

static void regions(void) {
  told("ID_AA64MMFR1_EL1.LO", (READ(id_aa64mmfr1_el1) >> 16) & 15);
  told("LORID_EL1", READ(LORID_EL1));
  asm volatile("msr S3_0_C10_C4_7, xzr");
  told("write to LORID_EL1", 0);
  ALL_OF(LORSA_EL1);
  ALL_OF(LOREA_EL1);
  ALL_OF(LORN_EL1);
  ALL_OF(LORC_EL1);
  ALL_OF(actlr_el1);
}

static void pmu(void) {
  WRITE(pmcr_el0, 0);
  told("PMCR_EL0.LC and D of zeros", READ(pmcr_el0) & 0x48);
  WRITE(pmcr_el0, 0x48);
  told("PMCR_EL0.LC and D of ones", READ(pmcr_el0) & 0x48);
  // A counter of software increments, each with a filter: none, not EL1, not EL0.
  WRITE(pmevtyper0_el0, 0);
  WRITE(pmevtyper1_el0, 1ul << 31);
  WRITE(pmevtyper2_el0, 1ul << 30);
  WRITE(pmcntenset_el0, 7);
  WRITE(pmcr_el0, 3);
  WRITE(pmswinc_el0, 7);
  WRITE(pmswinc_el0, 7);
  told("SW_INCR", READ(pmevcntr0_el0));
  told("SW_INCR, not at EL1", READ(pmevcntr1_el0));
  told("SW_INCR, not at EL0", READ(pmevcntr2_el0));
  // SW_INCR, INST_RETIRED, CPU_CYCLES and CHAIN; STALL_FRONTEND and STALL_BACKEND.
  told("PMCEID0_EL0", READ(pmceid0_el0) & 0x40020101);
  told("PMCEID1_EL0", READ(pmceid1_el0) & 0x18);
  // An exception empties the pipeline.
  WRITE(pmcntenclr_el0, 7);
  WRITE(pmevtyper0_el0, 0x23);
  WRITE(pmevtyper1_el0, 0x24);
  WRITE(pmcr_el0, 3);
  WRITE(pmcntenset_el0, 3);
  asm volatile("brk #0\n brk #0");
  esr = 0;
  told("STALL_FRONTEND of two exceptions", READ(pmevcntr0_el0));
  told("STALL_BACKEND", READ(pmevcntr1_el0));
}

void run(void) {
  control();
  regions();
  pmu();
  // PL031's identification: DDI 0224 tables 3-11 and 3-12.
  for (u64 at = 0xfe0; at < 0x1000; at += 4) {
    u32 id;
    asm volatile("ldr %w0, [%1]" : "=r"(id) : "r"(0x09010000ul + at));
    told("PL031", id);
  }
  put("done\n");
}
