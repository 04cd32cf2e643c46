// Self-hosted debug and TLB maintenance, each result a line on the console that must be the same on QEMU.
#include "payload.h"

// ---- Translation: identity for EL1, and RAM once more at 2 GiB for EL0 ----

#define USER 0x40000000ul
// The fourth GiB: tables to play with.
#define WINDOW 0xc0000000ul

static u64 level1[512] __attribute__((aligned(4096)));
static u64 level2[512] __attribute__((aligned(4096)));
static u64 level3[512] __attribute__((aligned(4096)));

static void mmu_on(void) {
  level1[0] = 0 | VALID | AF;
  level1[1] = 0x40000000 | VALID | AF | INNER | NORMAL;
  level1[2] = 0x40000000 | VALID | AF | INNER | NORMAL | EL0;
  level1[3] = (u64)level2 | TABLE;
  WRITE(mair_el1, 0xff00);
  WRITE(tcr_el1, 25 | (25ul << 16) | (1 << 8) | (1 << 10) | (3 << 12) | (2ul << 30) | (1 << 23) | (1ul << 32));
  WRITE(ttbr0_el1, level1);
  asm volatile("dsb ishst\n tlbi vmalle1is\n dsb ish\n isb" ::: "memory");
  // MMU, caches, and DC ZVA at EL0.
  WRITE(sctlr_el1, READ(sctlr_el1) | 1 | 4 | (1 << 12) | (1 << 14) | (1 << 15));
}

// ---- Exceptions: told to the console, and gone on from ----

#define SS (1 << 0)
#define KDE (1 << 13)
#define MDE (1 << 15)
#define SPSR_SS (1ul << 21)
#define SPSR_D (1ul << 9)

// What addresses are told relative to: code and data.
static u64 code_base, data_base;
static volatile u64 hits, steps, quiet;
static u64 stop_stepping_at;
extern char back_from_el0[];

static void disable(void) {
  WRITE(dbgbcr0_el1, 0);
  WRITE(dbgwcr0_el1, 0);
  WRITE(dbgwcr3_el1, 0);
}

void taken(u64 number, u64 *frame) {
  u64 esr = READ(esr_el1), elr = READ(elr_el1), spsr = READ(spsr_el1), class = esr >> 26;
  (void)frame;
  hits++;
  if (!quiet) {
    put("  vector ");
    hex(number);
    put(" esr ");
    hex(esr);
    put(" at ");
    hex(elr - code_base);
    put(" ss ");
    hex((spsr >> 21) & 1);
    if ((class & 0x3e) == 0x34) {
      put(" far ");
      hex(READ(far_el1) - data_base);
    }
    put("\n");
  }
  switch (class) {
  case 0x15:
    if ((esr & 0xffff) == 0xe) {
      // The end of a program at EL0.
      WRITE(elr_el1, back_from_el0);
      WRITE(spsr_el1, 0x3c5);
    }
    return;
  case 0x32:
  case 0x33:
    steps++;
    if (elr == stop_stepping_at || steps > 100) {
      WRITE(mdscr_el1, READ(mdscr_el1) & ~SS);
      WRITE(spsr_el1, spsr & ~SPSR_SS);
    } else WRITE(spsr_el1, spsr | SPSR_SS);
    return;
  case 0x30:
  case 0x31:
  case 0x34:
  case 0x35:
    disable();
    return;
  default:
    WRITE(elr_el1, elr + 4);
  }
}

// go(entry, spsr): "calls" code at EL1 or EL0 with ERET; it ends with SVC #0xe. X0 to X2 are the program's operands.
extern void go(u64 entry, u64 spsr, u64 x0, u64 x1, u64 x2);
asm(".global go, back_from_el0\n"
    "go: stp x29, x30, [sp, #-96]!\n"
    " stp x19, x20, [sp, #16]\n stp x21, x22, [sp, #32]\n stp x23, x24, [sp, #48]\n"
    " stp x25, x26, [sp, #64]\n stp x27, x28, [sp, #80]\n"
    " msr elr_el1, x0\n msr spsr_el1, x1\n mov x0, x2\n mov x1, x3\n mov x2, x4\n mov x9, #0\n eret\n"
    "back_from_el0:\n"
    " ldp x19, x20, [sp, #16]\n ldp x21, x22, [sp, #32]\n ldp x23, x24, [sp, #48]\n"
    " ldp x25, x26, [sp, #64]\n ldp x27, x28, [sp, #80]\n ldp x29, x30, [sp], #96\n ret\n");

// EL1h and EL0t with D clear; A, I and F masked.
#define AT_EL1 0x1c5
#define AT_EL0 0x1c0

// A program: instructions between two labels.
#define PROGRAM(name, text) \
  extern char name[]; \
  asm(".balign 4096\n " #name ":\n" text "\n svc #0xe\n")

// Runs a program at EL1 and at EL0, with X0 the address of the data.
static u64 data[1024] __attribute__((aligned(4096)));

static void run_at(int el, char *program, u64 extra) {
  u64 alias = el == 0 ? USER : 0;
  code_base = (u64)program + alias;
  data_base = (u64)data + alias;
  hits = 0;
  steps = 0;
  go(code_base, (el == 0 ? AT_EL0 : AT_EL1) | extra, data_base, 0x1122334455667788, data_base + 4096 - 8);
}

// ---- Registers ----

static void registers(void) {
  line("ID_AA64DFR0: BRPs, WRPs, CTX_CMPs", READ(id_aa64dfr0_el1) & 0xf0f0f000);
  line("OSLSR", READ(oslsr_el1));
  WRITE(oslar_el1, 0);
  line("OSLSR", READ(oslsr_el1));
  WRITE(dbgbvr0_el1, 0xffff800012345678);
  line("DBGBVR0", READ(dbgbvr0_el1));
  WRITE(dbgbcr0_el1, 0x1e6);
  line("DBGBCR0", READ(dbgbcr0_el1));
  WRITE(dbgbvr5_el1, 0x12345678);
  line("DBGBVR5", READ(dbgbvr5_el1));
  WRITE(dbgwvr3_el1, 0xffff800012345678);
  line("DBGWVR3", READ(dbgwvr3_el1));
  WRITE(dbgwcr3_el1, 0x1ffe);
  line("DBGWCR3", READ(dbgwcr3_el1));
  WRITE(dbgwcr3_el1, 0);
  line("MDCCSR", READ(mdccsr_el0));
  code_base = (u64)registers;
  quiet = 1;
  hits = 0;
  READ(S2_0_C0_C6_4);
  line("DBGBVR6 is UNDEFINED", hits);
  hits = 0;
  READ(S2_0_C0_C4_6);
  line("DBGWVR4 is UNDEFINED", hits);
  quiet = 0;
}

// ---- Breakpoints ----

PROGRAM(plain, "nop\n nop\n add x9, x9, #1\n add x9, x9, #2\n str x9, [x0]");
#define TARGET 8
// Through the page of the breakpoint before it is reached.
PROGRAM(around, "bl 1f\n nop\n bl 2f\n b 3f\n .balign 4096\n nop\n1: ret\n nop\n2: add x9, x9, #1\n str x9, [x0]\n ret\n3: nop");
#define AROUND_TARGET (4096 + 12)

static void breakpoint_in(char *program, u64 target, int el, const char *what, u64 control, u64 mdscr, u64 spsr) {
  put(what);
  put(el == 0 ? " at EL0\n" : " at EL1\n");
  WRITE(dbgbvr0_el1, (u64)program + (el == 0 ? USER : 0) + target);
  WRITE(dbgbcr0_el1, control);
  WRITE(mdscr_el1, mdscr);
  data[0] = 0;
  run_at(el, program, spsr);
  WRITE(mdscr_el1, 0);
  disable();
  line("  ended with", data[0]);
}

static void breakpoint_at(int el, const char *what, u64 control, u64 mdscr, u64 spsr) {
  breakpoint_in(plain, TARGET, el, what, control, mdscr, spsr);
}

#define BOTH 0x1e7
#define ONLY_EL0 0x1e5
#define ONLY_EL1 0x1e3
#define CONTEXT_LINKED (3 << 20)

static void breakpoints(void) {
  for (int el = 0; el < 2; el++) {
    breakpoint_at(el, "breakpoint", BOTH, KDE | MDE, 0);
    breakpoint_in(around, AROUND_TARGET, el, "later in its page", BOTH, KDE | MDE, 0);
    breakpoint_at(el, "without MDE", BOTH, KDE, 0);
    breakpoint_at(el, "without KDE", BOTH, MDE, 0);
    breakpoint_at(el, "with D", BOTH, KDE | MDE, SPSR_D);
    breakpoint_at(el, "of EL0", ONLY_EL0, KDE | MDE, 0);
    breakpoint_at(el, "of EL1", ONLY_EL1, KDE | MDE, 0);
    breakpoint_at(el, "of Secure state", BOTH | (2 << 14), KDE | MDE, 0);
    breakpoint_at(el, "of Non-secure state", BOTH | (1 << 14), KDE | MDE, 0);
    WRITE(contextidr_el1, 0x4321);
    WRITE(dbgbvr4_el1, 0x4321);
    WRITE(dbgbcr4_el1, BOTH | CONTEXT_LINKED);
    breakpoint_at(el, "linked", BOTH | (1 << 20) | (4 << 16), KDE | MDE, 0);
    WRITE(contextidr_el1, 0x4320);
    breakpoint_at(el, "linked to another context", BOTH | (1 << 20) | (4 << 16), KDE | MDE, 0);
    WRITE(contextidr_el1, 0x4321);
    WRITE(dbgbcr4_el1, 0);
    breakpoint_at(el, "linked to nothing", BOTH | (1 << 20) | (4 << 16), KDE | MDE, 0);
  }
}

// ---- Watchpoints ----

PROGRAM(loads, "ldrb w3, [x0, #1]\n ldr w3, [x0]\n ldr x3, [x0, #8]\n ldp x3, x4, [x0]\n ldur x3, [x0, #5]\n ldxr x3, [x0]\n clrex\n"
               " ldur x3, [x2, #4]");
PROGRAM(stores, "strb w1, [x0, #1]\n str w1, [x0]\n str x1, [x0, #8]\n stp x1, x1, [x0]\n stur x1, [x0, #5]\n stur x1, [x2, #4]");
PROGRAM(exclusive, "ldxr x3, [x0]\n add x3, x3, #1\n stxr w4, x3, [x0]\n str x4, [x0, #16]");
PROGRAM(zero, "add x3, x0, #72\n dc zva, x3");
PROGRAM(atomic, "ldadd x1, x3, [x0]\n cas x3, x1, [x0]\n add x3, x0, #8\n stlr x1, [x3]\n ldar x1, [x0]");
PROGRAM(unprivileged, "ldtr x3, [x0]\n sttr x1, [x0]");

static void watch(int el, const char *what, char *program, u64 offset, u64 control, u64 mdscr, u64 spsr) {
  put(what);
  put(el == 0 ? " at EL0\n" : " at EL1\n");
  for (int i = 0; i < 16; i++) data[i] = 0x100 + i;
  data[511] = data[512] = 7;
  WRITE(dbgwvr3_el1, (u64)data + offset + (el == 0 ? USER : 0));
  WRITE(dbgwcr3_el1, control);
  WRITE(mdscr_el1, mdscr);
  run_at(el, program, spsr);
  WRITE(mdscr_el1, 0);
  disable();
  line("  word 0", data[0]);
  line("  word 1", data[1]);
  line("  word 2", data[2]);
  line("  word 9", data[9]);
  line("  across", data[511] ^ data[512]);
}

#define LOADS (1 << 3)
#define STORES (2 << 3)
#define BAS(bits) ((u64)(bits) << 5)
#define MASK(bits) (((u64)(bits) << 24) | BAS(0xff))
#define ANY 7

static void watchpoints(void) {
  for (int el = 0; el < 2; el++) {
    watch(el, "load of byte 0", loads, 0, ANY | LOADS | BAS(1), KDE | MDE, 0);
    watch(el, "load of byte 1", loads, 0, ANY | LOADS | BAS(2), KDE | MDE, 0);
    watch(el, "load of bytes 4 to 7", loads, 0, ANY | LOADS | BAS(0xf0), KDE | MDE, 0);
    watch(el, "load of a word", loads, 4, ANY | LOADS | BAS(0xf), KDE | MDE, 0);
    watch(el, "load of bytes 8 to 15", loads, 8, ANY | LOADS | BAS(0xff), KDE | MDE, 0);
    watch(el, "load that is stored", loads, 0, ANY | STORES | BAS(0xff), KDE | MDE, 0);
    watch(el, "load of the next page", loads, 4096, ANY | LOADS | BAS(0xff), KDE | MDE, 0);
    watch(el, "load of nothing", loads, 0, ANY | LOADS | BAS(0), KDE | MDE, 0);
    watch(el, "store of byte 0", stores, 0, ANY | STORES | BAS(1), KDE | MDE, 0);
    watch(el, "store of byte 12", stores, 8, ANY | STORES | BAS(0x10), KDE | MDE, 0);
    watch(el, "store of the next page", stores, 4096, ANY | STORES | BAS(0xff), KDE | MDE, 0);
    watch(el, "store that is loaded", stores, 0, ANY | LOADS | BAS(0xff), KDE | MDE, 0);
    watch(el, "both", stores, 8, ANY | LOADS | STORES | BAS(0xff), KDE | MDE, 0);
    watch(el, "masked", stores, 0, ANY | LOADS | STORES | MASK(4), KDE | MDE, 0);
    watch(el, "masked page", stores, 0x1000, ANY | LOADS | STORES | MASK(12), KDE | MDE, 0);
    watch(el, "masked GiB", loads, -((u64)data & 0x3fffffff), ANY | LOADS | STORES | MASK(30), KDE | MDE, 0);
    watch(el, "not enabled", stores, 0, (ANY & ~1) | STORES | BAS(0xff), KDE | MDE, 0);
    watch(el, "without KDE", stores, 0, ANY | STORES | BAS(0xff), MDE, 0);
    watch(el, "without MDE", stores, 0, ANY | STORES | BAS(0xff), KDE, 0);
    watch(el, "with D", stores, 0, ANY | STORES | BAS(0xff), KDE | MDE, SPSR_D);
    watch(el, "of EL0", stores, 0, 5 | STORES | BAS(0xff), KDE | MDE, 0);
    watch(el, "of EL1", stores, 0, 3 | STORES | BAS(0xff), KDE | MDE, 0);
    watch(el, "exclusive load", exclusive, 0, ANY | LOADS | BAS(0xff), KDE | MDE, 0);
    watch(el, "exclusive store", exclusive, 0, ANY | STORES | BAS(0xff), KDE | MDE, 0);
    watch(el, "exclusive beside", exclusive, 64, ANY | LOADS | STORES | BAS(0xff), KDE | MDE, 0);
    watch(el, "DC ZVA", zero, 64, ANY | STORES | BAS(0x10), KDE | MDE, 0);
    watch(el, "DC ZVA beside", zero, 0, ANY | STORES | BAS(0xff), KDE | MDE, 0);
    watch(el, "atomic store", atomic, 0, ANY | STORES | BAS(0xff), KDE | MDE, 0);
    watch(el, "atomic load", atomic, 0, ANY | LOADS | BAS(0xff), KDE | MDE, 0);
    watch(el, "atomic both", atomic, 0, ANY | LOADS | STORES | BAS(0xff), KDE | MDE, 0);
    watch(el, "release", atomic, 8, ANY | STORES | BAS(0xff), KDE | MDE, 0);
    WRITE(dbgbcr4_el1, BOTH | CONTEXT_LINKED);
    watch(el, "linked", stores, 0, ANY | STORES | BAS(0xff) | (1 << 20) | (4 << 16), KDE | MDE, 0);
    WRITE(contextidr_el1, 1);
    watch(el, "linked to another context", stores, 0, ANY | STORES | BAS(0xff) | (1 << 20) | (4 << 16), KDE | MDE, 0);
    WRITE(contextidr_el1, 0x4321);
    WRITE(dbgbcr4_el1, 0);
  }
  // EL1 with EL0's privileges, through EL0's mapping.
  put("unprivileged\n");
  for (int i = 0; i < 2; i++) {
    data[0] = 1;
    WRITE(dbgwvr3_el1, (u64)data + USER);
    WRITE(dbgwcr3_el1, (i == 0 ? 5 : 3) | STORES | BAS(0xff));
    WRITE(mdscr_el1, KDE | MDE);
    code_base = (u64)unprivileged;
    data_base = (u64)data + USER;
    go(code_base, AT_EL1, data_base, 0x55, 0);
    WRITE(mdscr_el1, 0);
    disable();
    line("  word 0", data[0]);
  }
}

// ---- Software step ----

PROGRAM(stepped, "add x9, x9, #1\n cbz x9, 1f\n b 1f\n nop\n1: ldxr x3, [x0]\n stxr w4, x3, [x0]\n svc #7\n ldp x3, x4, [x0]\n str x3, [x0, #8]\n"
                 " .word 0\n mrs x3, nzcv\n isb\n ldaxp x3, x4, [x0]\n brk #5\n clrex\n ldar x3, [x0]\n ldur x3, [x2, #4]\n nop");
#define STEPPED_END (18 * 4)

static void step_at(int el, const char *what, u64 mdscr, u64 spsr) {
  put(what);
  put(el == 0 ? " at EL0\n" : " at EL1\n");
  stop_stepping_at = (u64)stepped + STEPPED_END + (el == 0 ? USER : 0);
  WRITE(mdscr_el1, mdscr);
  run_at(el, stepped, spsr);
  WRITE(mdscr_el1, 0);
  line("  steps", steps);
  disable();
}

static void software_step(void) {
  for (int el = 0; el < 2; el++) {
    step_at(el, "step", SS | KDE, SPSR_SS);
    step_at(el, "pending step", SS | KDE, 0);
    step_at(el, "step without KDE", SS, SPSR_SS);
    step_at(el, "step with D", SS | KDE, SPSR_SS | SPSR_D);
    step_at(el, "no step", KDE, SPSR_SS);
    WRITE(dbgbvr0_el1, (u64)stepped + 4 + (el == 0 ? USER : 0));
    WRITE(dbgbcr0_el1, BOTH);
    step_at(el, "step with a breakpoint", SS | KDE | MDE, SPSR_SS);
    WRITE(dbgwvr3_el1, (u64)data + 8 + (el == 0 ? USER : 0));
    WRITE(dbgwcr3_el1, ANY | STORES | BAS(0xff));
    step_at(el, "step with a watchpoint", SS | KDE | MDE, SPSR_SS);
  }
}

// ---- The debug communications channel ----

PROGRAM(channel, "mrs x3, mdccsr_el0\n mrs x4, mdscr_el1");

static void debug_channel(void) {
  WRITE(mdscr_el1, 0);
  put("channel\n");
  run_at(0, channel, 0);
}

// ---- TLBI by address ----

static u64 pages[2048] __attribute__((aligned(4096)));
#define NORMAL_PAGE (PAGE | AF | INNER | NORMAL)

static u64 load(u64 va) {
  u64 value;
  asm volatile("ldr %0, [%1]" : "=r"(value) : "r"(va) : "memory");
  return value;
}

#define TLBI(operation, va) asm volatile("dsb ishst\n tlbi " #operation ", %0\n dsb ish\n isb" ::"r"((va) >> 12) : "memory")

static void tlb_maintenance(void) {
  for (int i = 0; i < 4; i++) pages[512 * i] = 0xa0 + i;
  level2[0] = (u64)level3 | TABLE;
  level3[0] = (u64)(pages + 0) | NORMAL_PAGE;
  level3[1] = (u64)(pages + 512) | NORMAL_PAGE;
  asm volatile("dsb ishst\n tlbi vmalle1\n dsb ish\n isb" ::: "memory");
  line("pages", load(WINDOW) << 8 | load(WINDOW + 4096));
  level3[0] = (u64)(pages + 1024) | NORMAL_PAGE;
  TLBI(vae1, WINDOW);
  line("VAE1", load(WINDOW) << 8 | load(WINDOW + 4096));
  level3[1] = (u64)(pages + 1536) | NORMAL_PAGE;
  TLBI(vaale1is, WINDOW + 4096);
  line("VAALE1IS", load(WINDOW) << 8 | load(WINDOW + 4096));
  level3[0] = (u64)(pages + 0) | NORMAL_PAGE;
  TLBI(vale1, WINDOW);
  line("VALE1", load(WINDOW));
  level3[0] = (u64)(pages + 512) | NORMAL_PAGE;
  TLBI(vaae1, WINDOW);
  line("VAAE1", load(WINDOW));
  level3[0] = (u64)(pages + 1024) | NORMAL_PAGE;
  asm volatile("dsb ishst\n tlbi aside1, xzr\n dsb ish\n isb" ::: "memory");
  // Global entries may stay: by address they may not.
  TLBI(vaae1is, WINDOW);
  line("ASIDE1 and VAAE1IS", load(WINDOW));
  // A block of 2 MiB: any address of it forgets all of it.
  u64 block = (u64)pages & ~0x1ffffful;
  u64 inside = (u64)pages - block;
  level2[1] = block | VALID | AF | INNER | NORMAL;
  u64 first = WINDOW + 0x200000 + inside, second = first + 4096;
  TLBI(vaae1is, first);
  line("block", load(first) << 8 | load(second));
  level2[1] = 0;
  TLBI(vaae1is, second);
  for (int i = 0; i < 512; i++) level3[i] = (u64)(pages + 1536) | NORMAL_PAGE;
  level2[1] = (u64)level3 | TABLE;
  asm volatile("dsb ishst\n isb" ::: "memory");
  line("block by pages", load(WINDOW + 0x200000) << 8 | load(first & ~0x1ffffful));
  line("in the block", load(first));
  // The table entry itself, and what is below.
  level2[0] = block | VALID | AF | INNER | NORMAL;
  TLBI(vaae1is, WINDOW);
  line("block anew", load(WINDOW + inside));
}

// ---- ASIDs: programs that take turns ----

#define CONTEXTS 10
#define NOT_GLOBAL (1 << 11)
#define UPPER 0xffffff8000000000ul
static u64 tables[CONTEXTS][3][512] __attribute__((aligned(4096)));
static u64 upper[3][512] __attribute__((aligned(4096)));

PROGRAM(peek, "ldr x3, [x1]\n str x3, [x0]");

// What the window shows to EL1, to EL1 with EL0's privileges, and to EL0, which must agree.
static u64 look(u64 va) {
  u64 value = load(va), unprivileged_value;
  // Something else first: what an access that misses brings along must not hide what was there.
  asm volatile("ldtr %0, [%1]" : "=r"(unprivileged_value) : "r"((u64)data + USER) : "memory");
  asm volatile("ldtr %0, [%1]" : "=r"(unprivileged_value) : "r"(va) : "memory");
  quiet = 1;
  go((u64)peek + USER, AT_EL0, (u64)data + USER, va, 0);
  quiet = 0;
  return value << 16 | unprivileged_value << 8 | data[0];
}

static u64 page_of(int number, u64 attributes) {
  return (u64)(pages + 512 * number) | NORMAL_PAGE | EL0 | attributes;
}

static void enter(int context) {
  WRITE(ttbr0_el1, (u64)tables[context][0] | (u64)(context + 1) << 48);
}

static void contexts(void) {
  for (int i = 0; i < CONTEXTS; i++) {
    for (int j = 0; j < 3; j++) tables[i][0][j] = level1[j];
    tables[i][0][3] = (u64)tables[i][1] | TABLE;
    tables[i][1][0] = (u64)tables[i][2] | TABLE;
    tables[i][2][0] = page_of(i & 3, NOT_GLOBAL);
  }
  asm volatile("dsb ishst\n tlbi vmalle1is\n dsb ish\n isb" ::: "memory");
  for (int round = 0; round < 2; round++)
    for (int i = 0; i < CONTEXTS; i++) {
      enter(i);
      line("context", look(WINDOW));
    }
  // Of a context that is not the current one.
  tables[3][2][0] = page_of(0, NOT_GLOBAL);
  asm volatile("dsb ishst\n tlbi vae1is, %0\n dsb ish\n isb" ::"r"(WINDOW >> 12 | 4ul << 48) : "memory");
  enter(3);
  line("VAE1IS of another", look(WINDOW));
  tables[4][2][0] = page_of(1, NOT_GLOBAL);
  asm volatile("dsb ishst\n tlbi aside1is, %0\n dsb ish\n isb" ::"r"(5ul << 48) : "memory");
  enter(4);
  line("ASIDE1IS of another", look(WINDOW));
  tables[4][2][0] = page_of(2, NOT_GLOBAL);
  asm volatile("dsb ishst\n tlbi aside1, %0\n dsb ish\n isb" ::"r"(5ul << 48) : "memory");
  line("ASIDE1", look(WINDOW));
  tables[4][2][0] = page_of(3, NOT_GLOBAL);
  tables[5][2][0] = page_of(3, NOT_GLOBAL);
  asm volatile("dsb ishst\n tlbi vmalle1is\n dsb ish\n isb" ::: "memory");
  line("VMALLE1IS", look(WINDOW));
  enter(5);
  line("VMALLE1IS of another", look(WINDOW));
  // The ASID in TTBR1_EL1, and its half: a page of all programs and one of each.
  upper[0][0] = (u64)upper[1] | TABLE;
  upper[1][0] = (u64)upper[2] | TABLE;
  upper[2][0] = page_of(0, 0);
  upper[2][1] = page_of(1, NOT_GLOBAL);
  WRITE(ttbr1_el1, (u64)upper[0] | 0x21ul << 48);
  WRITE(tcr_el1, (READ(tcr_el1) & ~(1ul << 23)) | (1 << 22));
  asm volatile("dsb ishst\n tlbi vmalle1is\n dsb ish\n isb" ::: "memory");
  line("upper half", look(UPPER));
  line("of a program", look(UPPER + 4096));
  line("lower half", look(WINDOW));
  upper[2][1] = page_of(2, NOT_GLOBAL);
  tables[5][2][0] = page_of(1, NOT_GLOBAL);
  asm volatile("dsb ishst");
  WRITE(ttbr1_el1, (u64)upper[0] | 0x22ul << 48);
  line("another ASID, upper half", look(UPPER));
  line("of another program", look(UPPER + 4096));
  line("lower half of another", look(WINDOW));
  upper[2][0] = page_of(3, 0);
  TLBI(vaale1is, UPPER);
  line("upper half anew", look(UPPER));
  WRITE(ttbr1_el1, (u64)upper[0] | 0x23ul << 48);
  line("for a third", look(UPPER));
  // Another table for the upper half.
  for (int i = 0; i < 3; i++) upper[0][i] = 0;
  tables[6][2][0] = page_of(2, 0);
  tables[6][0][0] = (u64)tables[6][1] | TABLE;
  asm volatile("dsb ishst\n tlbi vmalle1is\n dsb ish\n isb" ::: "memory");
  WRITE(ttbr1_el1, (u64)tables[6][0] | 0x24ul << 48);
  line("other tables", look(UPPER));
}

void run(void) {
  asm volatile("msr daifset, #15");
  mmu_on();
  registers();
  breakpoints();
  watchpoints();
  software_step();
  debug_channel();
  tlb_maintenance();
  contexts();
  put("done\n");
}
