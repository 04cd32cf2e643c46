// Alignment, Device memory, devices, and maintenance of places without memory. Lines that begin with an exclamation mark are
// not the same on QEMU; the test says what they must be.
#include "payload.h"

// A hole in virt's map.
#define HOLE 0x0c000000ul

static volatile u64 esr, far, faults;

void taken(u64 number, u64 *frame) {
  (void)number, (void)frame;
  esr = READ(esr_el1);
  far = READ(far_el1);
  faults++;
  WRITE(elr_el1, READ(elr_el1) + 4);
}

// What became of the instructions since: nothing, or the syndrome and how far from `at` the fault lies.
static void told(const char *what, u64 at, u64 result) {
  for (; *what; what++) *UART = *what == '\n' ? ';' : *what;
  if (faults) {
    put(": esr ");
    hex(esr);
    put(" at +");
    hex(far - at);
  } else {
    put(": ");
    hex(result);
  }
  put("\n");
  faults = 0;
}

#define TRY(mark, text, address) \
  do { \
    register u64 x3 asm("x3") = (u64)(address), x4 asm("x4") = 0; \
    asm volatile(text : "+r"(x3), "+r"(x4)::"x5", "x6", "x7", "memory"); \
    told(mark text, (u64)(address), x4); \
  } while (0)

static u64 level1[512] __attribute__((aligned(4096)));
static u64 level2[512] __attribute__((aligned(4096)));
static u64 level3[512] __attribute__((aligned(4096)));
static u64 data[1024] __attribute__((aligned(4096)));

#define WINDOW 0x80000000ul

static void mmu_on(void) {
  level1[0] = 0 | VALID | AF;
  level1[1] = 0x40000000 | VALID | AF | INNER | NORMAL;
  level1[2] = (u64)level2 | TABLE;
  level2[0] = (u64)level3 | TABLE;
  // The data as Device-nGnRnE, as Device read-only, and one page of it each way.
  level3[0] = (u64)data | PAGE | AF;
  level3[1] = (u64)data | PAGE | AF | READ_ONLY;
  level3[2] = (u64)data | PAGE | AF | INNER | NORMAL;
  level3[3] = ((u64)data + 4096) | PAGE | AF;
  // Memory, then a device.
  level3[4] = (u64)data | PAGE | AF | INNER | NORMAL;
  level3[5] = HOLE | PAGE | AF;
  WRITE(mair_el1, 0xff00);
  WRITE(tcr_el1, 25 | (25ul << 16) | (1 << 8) | (1 << 10) | (3 << 12) | (2ul << 30) | (1 << 23) | (1ul << 32));
  WRITE(ttbr0_el1, level1);
  asm volatile("dsb ishst\n tlbi vmalle1is\n dsb ish\n isb" ::: "memory");
  WRITE(sctlr_el1, READ(sctlr_el1) | 1 | 4 | (1 << 12));
}

static void fill(void) {
  for (int i = 0; i < 1024; i++) data[i] = 0x0101010101010101ul * (i & 0xff);
}

// What is aligned to its elements is all right.
#define ALIGNED(at) \
  do { \
    TRY("", "ldr x4, [x3, #8]", at); \
    TRY("", "ldrb w4, [x3, #9]", at); \
    TRY("", "ldp w4, w5, [x3, #4]", at); \
    TRY("", "ldp x4, x5, [x3, #8]", at); \
    TRY("", "stp x3, x4, [x3, #8]\n ldr x4, [x3, #16]", at); \
    TRY("", "ldr q0, [x3, #16]\n fmov x4, d0", at); \
    TRY("", "add x5, x3, #1\n ld1 {v0.16b}, [x5]\n fmov x4, d0", at); \
    TRY("", "add x5, x3, #4\n ld4 {v0.4s-v3.4s}, [x5]\n fmov x4, d1", at); \
    TRY("", "add x5, x3, #8\n st1 {v0.2d}, [x5]\n ldr x4, [x3, #16]", at); \
    TRY("", "add x5, x3, #2\n ld1r {v0.8h}, [x5]\n fmov x4, d0", at); \
    TRY("", "ldxr x4, [x3]\n add x4, x4, #1\n stxr w5, x4, [x3]\n ldr x4, [x3]\n add x4, x4, x5, lsl #32", at); \
    TRY("", "ldxp x4, x5, [x3]\n stxp w6, x5, x4, [x3]\n ldr x4, [x3]\n add x4, x4, x6, lsl #32", at); \
    TRY("", "clrex\n mov x4, #77\n stxr w5, x4, [x3]\n ldr x4, [x3]", at); \
    TRY("", "mov x5, #16\n ldadd x5, x4, [x3]\n ldr x4, [x3]", at); \
    TRY("", "str x3, [x3, #24]\n strh w4, [x3, #26]\n ldr x4, [x3, #24]\n sub x4, x4, x3", at); \
  } while (0)

// What is not is an alignment fault.
#define MISALIGNED(mark, at) \
  do { \
    TRY(mark, "ldr x4, [x3, #4]", at); \
    TRY(mark, "ldur w4, [x3, #2]", at); \
    TRY(mark, "ldrsh x4, [x3, x4]", (u64)(at) + 1); \
    TRY(mark, "stur x4, [x3, #1]", at); \
    TRY(mark, "ldp w4, w5, [x3]", (u64)(at) + 2); \
    TRY(mark, "ldp x4, x5, [x3]", (u64)(at) + 4); \
    TRY(mark, "ldp q0, q1, [x3]", (u64)(at) + 8); \
    TRY(mark, "ldur q0, [x3, #8]", at); \
    TRY(mark, "ld1 {v0.8h}, [x3]", (u64)(at) + 1); \
    TRY(mark, "st3 {v0.2d-v2.2d}, [x3]", (u64)(at) + 4); \
    TRY(mark, "ld1 {v0.s}[1], [x3]", (u64)(at) + 2); \
    TRY(mark, "ld2r {v0.2d-v1.2d}, [x3]", (u64)(at) + 4); \
  } while (0)

void run(void) {
  fill();
  put("MMU off\n");
  ALIGNED(data);
  MISALIGNED("! ", data);
  mmu_on();
  fill();
  put("Normal memory\n");
  ALIGNED(data);
  MISALIGNED("", data);
  put("Device memory\n");
  fill();
  ALIGNED(WINDOW);
  MISALIGNED("! ", WINDOW);
  TRY("! ", "add x5, x3, #8\n dc zva, x5", WINDOW);
  TRY("", "stur x4, [x3, #8]", WINDOW + 0x1000);
  TRY("! ", "stur x4, [x3, #1]", WINDOW + 0x1000);
  put("from Normal to Device memory\n");
  TRY("", "ldp x4, x5, [x3]\n mov x4, x5", WINDOW + 0x2ff8);
  TRY("! ", "ldur x4, [x3, #4]", WINDOW + 0x2ff8);
  put("SCTLR_EL1.A\n");
  fill();
  WRITE(sctlr_el1, READ(sctlr_el1) | 2);
  ALIGNED(data);
  MISALIGNED("", data);
  TRY("", "add x5, x3, #8\n dc zva, x5\n ldr x4, [x3, #16]", data);
  // It comes before translation.
  TRY("", "ldur x4, [x3, #1]", 0x7f00000000);
  WRITE(sctlr_el1, READ(sctlr_el1) & ~2ul);
  put("a device\n");
  TRY("", "ldr w4, [x3, #0x18]\n and x4, x4, #0x20", UART_AT);
  TRY("", "ldtr w4, [x3]", HOLE);
  TRY("! ", "ldur w4, [x3, #0x16]", UART_AT);
  TRY("! ", "ldp w4, w5, [x3, #0x18]", UART_AT);
  TRY("! ", "stp x4, x4, [x3, #0x40]", UART_AT);
  TRY("! ", "ldr w4, [x3], #4", UART_AT);
  TRY("! ", "ldr q0, [x3, #0x20]", UART_AT);
  TRY("! ", "ldr s0, [x3, #0x18]", UART_AT);
  TRY("! ", "ld1 {v0.s}[1], [x3]", UART_AT);
  TRY("! ", "ldxr w4, [x3]", UART_AT);
  TRY("! ", "stxr w4, w5, [x3]", UART_AT + 0x24);
  TRY("! ", "ldadd w4, w5, [x3]", UART_AT + 0x24);
  TRY("! ", "dc zva, x3", HOLE);
  TRY("", "ldar w4, [x3]\n and x4, x4, #0x20", UART_AT + 0x18);
  put("from memory to a device\n");
  TRY("! ", "stp x4, x4, [x3]", WINDOW + 0x4ff8);
  TRY("! ", "stur x4, [x3, #4]", WINDOW + 0x4ff8);
  TRY("! ", "mov x4, x3", data[511]);
  put("maintenance\n");
  TRY("", "ic ivau, x3", UART_AT);
  TRY("", "ic ivau, x3", HOLE);
  TRY("", "dc civac, x3", UART_AT);
  TRY("! ", "at s1e1r, x3\n isb\n mrs x4, par_el1\n bic x4, x4, #0x200", UART_AT);
  TRY("! ", "at s1e1w, x3\n isb\n mrs x4, par_el1\n bic x4, x4, #0x200", HOLE);
  TRY("", "at s1e1r, x3\n isb\n mrs x4, par_el1\n bic x4, x4, #0x200\n and x4, x4, #0xffff000000000fff", data);
  TRY("", "at s1e1w, x3\n isb\n mrs x4, par_el1\n bic x4, x4, #0x200", WINDOW + 0x1000);
  put("done\n");
}
