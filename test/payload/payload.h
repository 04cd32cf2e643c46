// What the payloads have in common: the board, registers, and lines on the console.
typedef unsigned long u64;
typedef unsigned int u32;

#define UART_AT 0x09000000ul
#define UART ((volatile u32 *)UART_AT)
#define GICD(at) (*(volatile u32 *)(0x08000000ul + (at)))
#define GICR(at) (*(volatile u32 *)(0x080a0000ul + (at)))
#define READ(reg) ({ u64 value_; asm volatile("mrs %0, " #reg : "=r"(value_)); value_; })
#define WRITE(reg, value) asm volatile("msr " #reg ", %0\n isb" ::"r"((u64)(value)))

static inline void put(const char *text) {
  while (*text) *UART = *text++;
}

static inline void number(u64 value, int base) {
  char digits[21];
  int i = 20;
  digits[20] = 0;
  do digits[--i] = "0123456789abcdef"[value % base];
  while (value /= base);
  put(digits + i);
}

static inline void hex(u64 value) { number(value, 16); }

static inline void line(const char *what, u64 value) {
  put(what);
  put(": ");
  hex(value);
  put("\n");
}

static inline void count(const char *what, u64 value) {
  put(what);
  put(": ");
  number(value, 10);
  put("\n");
}

// Descriptors of stage 1.
#define VALID 1
#define TABLE 3
#define PAGE 3
#define AF (1 << 10)
#define INNER (3 << 8)
#define NORMAL (1 << 2)
#define READ_ONLY (1 << 7)
#define EL0 (1 << 6)

// A GiB of memory as a table of level 1 has it: normal, shareable.
#define RAM_BLOCK (0x40000000 | 1 | (1 << 10) | (3 << 8) | (1 << 2))

// Maps devices and memory as they lie, in a table that may have more, and turns the MMU and the caches on.
static inline void map_as_it_lies(u64 *level1) {
  level1[0] = 0 | 1 | (1 << 10);
  level1[1] = RAM_BLOCK;
  WRITE(mair_el1, 0xff00);
  WRITE(tcr_el1, 25 | (25ul << 16) | (1 << 8) | (1 << 10) | (3 << 12) | (2ul << 30) | (1 << 23) | (1ul << 32));
  WRITE(ttbr0_el1, level1);
  asm volatile("dsb ishst\n tlbi vmalle1is\n dsb ish\n isb" ::: "memory");
  WRITE(sctlr_el1, READ(sctlr_el1) | 1 | 4 | (1 << 12));
}

// Has a private interrupt of this CPU's signalled as an IRQ of group 1.
static inline void take_ppi(u32 intid) {
  GICR(0x14) = 0;
  GICD(0) = 2;
  WRITE(S3_0_C12_C12_5, 7);
  WRITE(S3_0_C4_C6_0, 0xf0);
  WRITE(S3_0_C12_C12_7, 1);
  GICR(0x10080) = ~0u;
  GICR(0x10100) = 1u << intid;
}
