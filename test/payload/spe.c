// A program that profiles itself: its buffer fills, is emptied by an interrupt handler, and goes off and on as at context
// switches. Without timestamps what is in it depends on nothing but the instructions, whoever virtualizes the unit.
#include "payload.h"

#define PMBIRQ 21
#define E1SPE 2
#define RECORD_BYTES 128
#define ROUNDS 40
#define BUFFER_BYTES 0x4000ul

static u64 level1[512] __attribute__((aligned(4096)));
static unsigned char buffer[BUFFER_BYTES] __attribute__((aligned(4096)));
static u64 data[4096];

static volatile u64 fulls, others, records, misplaced, digest;

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

static void start(u64 period) {
  WRITE(pmbptr_el1, BASE);
  WRITE(pmblimitr_el1, (BASE + BUFFER_BYTES) | 1);
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
  take();
  if (READ(pmbsr_el1)) line("status at the end", READ(pmbsr_el1));
}

// Loads and stores here and there, branches that depend on them, calls.
static u64 __attribute__((noinline)) step(u64 seed, u64 turn) {
  u64 *at = data + (seed >> 40) % 4096;
  if (*at & 1) seed += turn;
  *at += seed;
  return seed * 6364136223846793005ul + 1442695040888963407ul;
}

void run(void) {
  map_as_it_lies(level1);
  take_ppi(PMBIRQ);
  // Records go there: a page that nobody has touched is not mapped at stage 2.
  for (u64 at = 0; at < BUFFER_BYTES; at += 4096) buffer[at] = 0;
  asm volatile("msr daifclr, #2\n isb");
  u64 seed = 1;
  for (u64 round = 0; round < ROUNDS; round++) {
    start(round % 4 == 3 ? 1024 : 256);
    for (u64 turn = 0; turn < 600 + 900 * (round % 5); turn++) seed = step(seed, turn);
    stop();
  }
  asm volatile("msr daifset, #2\n isb");
  count("records", records);
  count("full", fulls);
  count("misplaced", misplaced);
  count("other interrupts", others);
  line("digest", digest);
  put("done\n");
}
