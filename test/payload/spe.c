// A program that profiles itself: its buffer fills, is emptied by an interrupt handler, and goes off and on as at context
// switches. Without timestamps what is in it depends on nothing but the instructions, whoever virtualizes the unit.
#include "payload.h"

#define PMBIRQ 21
#define E1SPE 2
// PMBLIMITR_EL1.FM
#define DISCARD (2ul << 1)
#define RECORD_BYTES 128
#define ROUNDS 40
#define BUFFER_BYTES 0x4000ul

static u64 level1[512] __attribute__((aligned(4096)));
static unsigned char buffer[BUFFER_BYTES] __attribute__((aligned(4096)));
static u64 data[4096];

static volatile u64 fulls, others, records, misplaced, moved, digest;

#define BASE ((u64)buffer)

// What has been written, and the pointer back to the start.
static void take(void) {
  u64 end = READ(pmbptr_el1);
  if (end < BASE || end > BASE + BUFFER_BYTES || (end - BASE) % RECORD_BYTES) misplaced++;
  for (u64 at = BASE; at < end; at += 8) digest = (digest ^ *(u64 *)at) * 0x100000001b3ul + (digest >> 29);
  records += (end - BASE) / RECORD_BYTES;
  WRITE(pmbptr_el1, BASE);
}

void taken(u64 number, u64 *frame) {
  (void)frame;
  if ((number & 3) != 1) {
    line("unexpected, esr", READ(esr_el1));
    return;
  }
  u32 intid = READ(S3_0_C12_C12_0);
  u64 status = READ(pmbsr_el1);
  asm volatile("psb csync\n dsb nsh\n isb" ::: "memory");
  if (intid == PMBIRQ && status >> 17 & 1) {
    if ((status >> 26 & 63) == 0 && (status & 63) == 1) fulls++;
    else line("status", status);
    take();
    // From here on it samples again.
    WRITE(pmbsr_el1, 0);
  } else
    others++;
  WRITE(S3_0_C12_C12_1, intid);
}

static void start(u64 limit, u64 period) {
  WRITE(pmbptr_el1, BASE);
  WRITE(pmblimitr_el1, limit);
  WRITE(pmsfcr_el1, 0);
  WRITE(pmsevfr_el1, 0);
  WRITE(pmslatfr_el1, 0);
  WRITE(pmsirr_el1, period);
  WRITE(pmsicr_el1, 0);
  WRITE(pmscr_el1, E1SPE);
}

static void stop(void) {
  WRITE(pmscr_el1, 0);
  asm volatile("psb csync\n dsb nsh" ::: "memory");
  WRITE(pmblimitr_el1, 0);
  asm volatile("psb csync\n dsb nsh\n isb" ::: "memory");
  if (READ(pmbsr_el1)) line("status at the end", READ(pmbsr_el1));
}

// Loads and stores here and there, branches that depend on them, calls.
static u64 __attribute__((noinline)) step(u64 seed, u64 turn) {
  u64 *at = data + (seed >> 40) % 4096;
  if (*at & 1) seed += turn;
  *at += seed;
  return seed * 6364136223846793005ul + 1442695040888963407ul;
}

// What the unit itself counts meanwhile, and in some rounds the models: then each instruction is followed.
#define FIRST_FOLLOWED 10
#define END_FOLLOWED 16
#define OF_MODELS 15
static void count_events(void) {
  WRITE(pmevtyper0_el0, 0x04);    // L1D_CACHE
  WRITE(pmevtyper1_el0, 0x03);    // L1D_CACHE_REFILL
  WRITE(pmevtyper2_el0, 0x10);    // BR_MIS_PRED
  WRITE(pmevtyper3_el0, 0x05);    // L1D_TLB_REFILL
  WRITE(pmevtyper4_el0, 0x4000);  // SAMPLE_POP
  WRITE(pmevtyper5_el0, 0x4002);  // SAMPLE_FILTRATE
  WRITE(pmcntenset_el0, 48);
  WRITE(pmcr_el0, 1);
}

static void tell_events(void) {
  WRITE(pmcr_el0, 0);
  count("l1d_cache", READ(pmevcntr0_el0));
  count("l1d_cache_refill", READ(pmevcntr1_el0));
  count("br_mis_pred", READ(pmevcntr2_el0));
  count("l1d_tlb_refill", READ(pmevcntr3_el0));
  count("sample_pop", READ(pmevcntr4_el0));
  count("sample_filtrate", READ(pmevcntr5_el0));
}

void run(void) {
  map_as_it_lies(level1);
  take_ppi(PMBIRQ);
  // Records go there: a page that nobody has touched is not mapped at stage 2.
  for (u64 at = 0; at < BUFFER_BYTES; at += 4096) buffer[at] = 0;
  asm volatile("msr daifclr, #2\n isb");
  u64 seed = 1;
  count_events();
  for (u64 round = 0; round < ROUNDS; round++) {
    if (round == FIRST_FOLLOWED) WRITE(pmcntenset_el0, OF_MODELS);
    if (round == END_FOLLOWED) WRITE(pmcntenclr_el0, OF_MODELS);
    start((BASE + BUFFER_BYTES) | 1, round % 4 == 3 ? 1024 : 256);
    for (u64 turn = 0; turn < 600 + 900 * (round % 5); turn++) seed = step(seed, turn);
    stop();
    take();
    // Now and then as Linux does for its discard mode: no limit, and nothing is written.
    if (round % 8 != 7) continue;
    start(DISCARD | 1, 256);
    for (u64 turn = 0; turn < 600; turn++) seed = step(seed, turn);
    stop();
    if (READ(pmbptr_el1) != BASE) moved++;
  }
  tell_events();
  asm volatile("msr daifset, #2\n isb");
  count("records", records);
  count("full", fulls);
  count("misplaced", misplaced);
  count("moved in discard mode", moved);
  count("other interrupts", others);
  line("digest", digest);
  put("done\n");
}
