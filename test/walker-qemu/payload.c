// Runs AT instructions over generated translation regimes and writes what PAR_EL1 says.
//
// Input at INPUT, u64 words: the number of cases; for each its eight registers, the number of memory words with
// (address, value) pairs, the number of queries with (operation, address) pairs.
// Output, u64 words: for each case a PAR_EL1 per query (or EXCEPTION | ESR_EL2), then a checksum of the memory words.
typedef unsigned long u64;

#define INPUT ((volatile u64 *)0x46000000)
#define OUTPUT ((volatile u64 *)0x44000000)
#define EXCEPTION 0xeeee000000000000UL

extern volatile u64 syndrome;

#define WRITE(reg, value) __asm__ volatile("msr " reg ", %0" ::"r"(value))
#define AT(op, address) \
    __asm__ volatile("at " op ", %0\n\tisb" ::"r"(address) : "memory", "x16", "x17")

static void translate(u64 operation, u64 address)
{
    switch (operation) {
    case 0: AT("s1e1r", address); break;
    case 1: AT("s1e1w", address); break;
    case 2: AT("s12e1r", address); break;
    case 3: AT("s12e1w", address); break;
    case 4: AT("s1e0r", address); break;
    case 5: AT("s1e0w", address); break;
    case 6: AT("s12e0r", address); break;
    case 7: AT("s12e0w", address); break;
    case 8: AT("s1e1rp", address); break;
    case 9: AT("s1e1wp", address); break;
    }
}

static long semihost(long operation, void *block)
{
    register long w0 __asm__("x0") = operation;
    register void *x1 __asm__("x1") = block;
    __asm__ volatile("hlt #0xf000" : "+r"(w0) : "r"(x1) : "memory");
    return w0;
}

static u64 length(const char *text)
{
    u64 n = 0;
    while (text[n]) n++;
    return n;
}

void run(void)
{
    volatile u64 *in = INPUT;
    volatile u64 *out = OUTPUT;
    u64 cases = *in++;
    while (cases--) {
        WRITE("tcr_el1", in[0]);
        WRITE("ttbr0_el1", in[1]);
        WRITE("ttbr1_el1", in[2]);
        WRITE("sctlr_el1", in[3]);
        WRITE("mair_el1", in[4]);
        WRITE("vtcr_el2", in[5]);
        WRITE("vttbr_el2", in[6]);
        WRITE("hcr_el2", in[7]);
        in += 8;
        u64 words = *in++;
        volatile u64 *memory = in;
        for (u64 i = 0; i < words; i++) *(volatile u64 *)memory[2 * i] = memory[2 * i + 1];
        in += 2 * words;
        for (u64 queries = *in++; queries--; in += 2) {
            syndrome = 0;
            __asm__ volatile("dsb sy\n\ttlbi alle1\n\tdsb sy\n\tisb" ::: "memory");
            translate(in[0], in[1]);
            u64 par;
            __asm__ volatile("mrs %0, par_el1" : "=r"(par));
            *out++ = syndrome ? EXCEPTION | syndrome : par;
        }
        u64 sum = 0;
        for (u64 i = 0; i < words; i++) {
            sum = sum * 0x100000001b3UL + *(volatile u64 *)memory[2 * i];
            *(volatile u64 *)memory[2 * i] = 0;
        }
        *out++ = sum;
    }
    static const char name[] = "par.bin";
    u64 open[3] = { (u64)name, 5 /* "wb" */, length(name) };
    u64 write[3] = { semihost(1, open), (u64)OUTPUT, (u64)out - (u64)OUTPUT };
    semihost(5, write);
    semihost(2, write);
    u64 stop[2] = { 0x20026 /* ADP_Stopped_ApplicationExit */, 0 };
    semihost(0x18, stop);
}
