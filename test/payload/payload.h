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
