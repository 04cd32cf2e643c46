// What a fault is reported as: ESR_EL1.WnR and CM, of atomic accesses and of cache maintenance, at EL1 and at EL0; and when SP
// is checked. Where QEMU prints something else the test says what, and who is right.
#include "payload.h"
#include "at-el0.h"

static volatile u64 esr, far, faults;

extern char back_from_el0[];

void taken(u64 number, u64 *frame) {
  (void)number, (void)frame;
  u64 syndrome = READ(esr_el1);
  if (syndrome >> 26 == 0x15) {
    WRITE(elr_el1, back_from_el0);
    WRITE(spsr_el1, 0x3c5);
    return;
  }
  esr = syndrome;
  far = READ(far_el1);
  faults++;
  WRITE(elr_el1, READ(elr_el1) + 4);
}

// What holds while instructions are tried, where that is not the same all the time.
static const char *when = "";

// What became of the instructions since: nothing, or the syndrome, and how far from `at` the fault lies where that counts.
static void told(const char *what, u64 at) {
  put(when);
  for (; *what; what++) *UART = *what == '\n' ? ';' : *what;
  if (faults) {
    put(": esr ");
    hex(esr);
    if (esr >> 26 == 0x24 || esr >> 26 == 0x25) {
      put(" at +");
      hex(far - at);
    }
  } else put(": done");
  put("\n");
  faults = 0;
}


static u64 level1[512] __attribute__((aligned(4096)));
static u64 level2[512] __attribute__((aligned(4096)));
static u64 level3[512] __attribute__((aligned(4096)));
static u64 data[512] __attribute__((aligned(4096)));

#define WINDOW 0x80000000ul
// RAM once more, for EL0.
#define USER 0x80000000ul

// Pages of the window: the same memory with other rights.
static const u64 OURS = WINDOW + 0x0000;
static const u64 OURS_READ_ONLY = WINDOW + 0x1000;
static const u64 NOTHING = WINDOW + 0x2000;
static const u64 OF_EL0 = WINDOW + 0x3000;
static const u64 OF_EL0_READ_ONLY = WINDOW + 0x4000;
static const u64 NOT_ACCESSED = WINDOW + 0x5000;
// 39 bits of address, and none of them in a table.
static const u64 NOWHERE = 0x7f00000000ul;

static void mmu_on(void) {
  u64 page = (u64)data | PAGE | INNER | NORMAL;
  level1[2] = (u64)level2 | TABLE;
  level1[3] = RAM_BLOCK | EL0;
  level2[0] = (u64)level3 | TABLE;
  level3[0] = page | AF;
  level3[1] = page | AF | READ_ONLY;
  level3[3] = page | AF | EL0;
  level3[4] = page | AF | EL0 | READ_ONLY;
  level3[5] = page;
  map_as_it_lies(level1);
}

#define TRY(text, address) \
  do { \
    register u64 x3 asm("x3") = (u64)(address); \
    asm volatile("mov x6, #1\n mov x7, #2\n mov x8, #3\n mov x9, #4\n" text \
                 : "+r"(x3)::"x4", "x5", "x6", "x7", "x8", "x9", "memory"); \
    told(text " of " #address, (u64)(address)); \
  } while (0)

#define AT_EL0(text, address) \
  do { \
    char *code; \
    asm volatile("adr %0, 1f\n b 2f\n1: " text "\n svc #0\n2:" : "=r"(code)); \
    go((u64)code + USER, 0x3c0, (u64)(address)); \
    told("EL0: " text " of " #address, (u64)(address)); \
  } while (0)

#define ATOMICS(how, at) \
  do { \
    how("ldaddb w6, w4, [x3]", at); \
    how("ldclral x6, x4, [x3]", at); \
    how("stset w6, [x3]", at); \
    how("ldsmaxh w6, w4, [x3]", at); \
    how("swp x6, x4, [x3]", at); \
    how("casl w6, w7, [x3]", at); \
    how("casp x6, x7, x8, x9, [x3]", at); \
  } while (0)

#define CLEANS(how, at) \
  do { \
    how("dc cvac, x3", at); \
    how("dc cvau, x3", at); \
    how("dc cvap, x3", at); \
    how("dc civac, x3", at); \
  } while (0)

static void atomics(void) {
  put("atomics\n");
  ATOMICS(TRY, OURS);
  ATOMICS(TRY, OURS_READ_ONLY);
  ATOMICS(TRY, NOTHING + 0x10);
  TRY("ldadd x6, x4, [x3]", NOT_ACCESSED);
  TRY("cas x6, x7, [x3]", NOWHERE);
  TRY("swp w6, w4, [x3]", OURS + 2);
  // What only reads or only writes is as it was.
  TRY("ldr x4, [x3]", NOTHING);
  TRY("str x6, [x3]", NOTHING);
  TRY("str x6, [x3]", OURS_READ_ONLY);
  ATOMICS(AT_EL0, OF_EL0);
  // A read faults as well.
  ATOMICS(AT_EL0, OURS);
  ATOMICS(AT_EL0, OF_EL0_READ_ONLY);
  ATOMICS(AT_EL0, NOTHING);
  // With PAN a read faults as well.
  asm volatile("msr pan, #1");
  when = "PAN: ";
  TRY("ldadd x6, x4, [x3]", OF_EL0_READ_ONLY);
  asm volatile("msr pan, #0");
  when = "";
}

static void maintenance(void) {
  put("cache maintenance\n");
  WRITE(sctlr_el1, READ(sctlr_el1) | (1 << 26));
  CLEANS(TRY, OURS);
  CLEANS(TRY, OURS_READ_ONLY);
  CLEANS(TRY, NOTHING + 0x48);
  CLEANS(TRY, NOWHERE);
  TRY("dc civac, x3", NOT_ACCESSED);
  TRY("dc ivac, x3", OURS);
  TRY("dc ivac, x3", OURS_READ_ONLY + 0x10);
  TRY("dc ivac, x3", NOTHING + 0x48);
  TRY("ic ivau, x3", NOTHING + 0x48);
  asm volatile("msr pan, #1");
  when = "PAN: ";
  CLEANS(TRY, OF_EL0);
  TRY("dc ivac, x3", OF_EL0);
  asm volatile("msr pan, #0");
  when = "";
  CLEANS(AT_EL0, OF_EL0);
  CLEANS(AT_EL0, OF_EL0_READ_ONLY);
  CLEANS(AT_EL0, OURS);
  CLEANS(AT_EL0, NOTHING + 8);
  // Not what EL0 may do comes first.
  WRITE(sctlr_el1, READ(sctlr_el1) & ~(1ul << 26));
  AT_EL0("dc civac, x3", NOTHING);
  WRITE(sctlr_el1, READ(sctlr_el1) | (1 << 26));
  // A translation that is there already is no other.
  TRY("ldr x4, [x3]\n dc civac, x3", OURS + 8);
  // Without the MMU there is nothing to fault but an address that is none.
  WRITE(sctlr_el1, READ(sctlr_el1) & ~1ul);
  when = "MMU off: ";
  CLEANS(TRY, data);
  TRY("dc civac, x3", 1ul << 50);
  when = "";
  WRITE(sctlr_el1, READ(sctlr_el1) | 1);
}

#define SA (1ul << 3)
#define SA0 (1ul << 4)

// At EL1 with SP_EL0, so that the vectors have a stack.
#define ON_SP0(text, address) TRY("msr spsel, #0\n mov sp, x3\n" text "\n msr spsel, #1", address)

static void alignment(const char *set, u64 bits) {
  when = set;
  WRITE(sctlr_el1, (READ(sctlr_el1) & ~(SA | SA0)) | bits);
  ON_SP0("ldr x4, [sp]", OURS + 8);
  ON_SP0("stp x6, x7, [sp, #-16]!", OURS + 24);
  ON_SP0("ldr q0, [sp, #8]", OURS + 8);
  ON_SP0("ldr x4, [sp]", OURS + 16);
  // Only a base is checked.
  ON_SP0("add x4, sp, #1\n ldr x4, [x4]", OURS + 8);
  AT_EL0("mov sp, x3\n ldr x4, [sp, #8]", OF_EL0 + 8);
  AT_EL0("mov sp, x3\n prfm pldl1keep, [sp]\n str x4, [sp], #16", OF_EL0 + 4);
}

void run(void) {
  mmu_on();
  atomics();
  maintenance();
  alignment("SA and SA0: ", SA | SA0);
  alignment("SA: ", SA);
  alignment("SA0: ", SA0);
  alignment("neither: ", 0);
  put("done\n");
}
