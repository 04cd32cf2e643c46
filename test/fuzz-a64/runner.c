/*
 * Executes cases as a Linux program does, for qemu-aarch64: state goes in and comes out through signal frames, so that each
 * instruction meets exactly the registers of its case, and faults are results like others. See format.ts for the files.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>
#include <ucontext.h>
#include <asm/sigcontext.h>

#define CODE 0x3000000000ul
#define CODE_BYTES 0x50000ul
#define SLOT_WORDS 8
#define BRANCHES 0x3010000000ul
#define BRANCHES_BYTES 0x200000ul
#define DATA 0x3010300000ul
#define DATA_BYTES 0x2000ul
#define BREAK 0xd4200000u

struct input {
	uint64_t x[31], sp;
	uint32_t nzcv, fpcr, fpsr, memory_seed;
	uint64_t v[64];
	uint32_t words[8];
	uint32_t count, branches;
};

struct output {
	uint64_t x[31], sp, pc;
	uint32_t nzcv, fpsr, signal, memory;
	uint64_t v[64];
};

static struct input *cases;
static struct output *results;
/* How many cases there are, and which of them are executed: [first, end). */
static struct { uint32_t count, first, end; } head;
static uint32_t next;
static uint64_t start;
/* The case that a tick of the timer has found under way. */
static uint32_t ticked = UINT32_MAX;

static struct fpsimd_context *fp_of(ucontext_t *uc)
{
	char *at = (char *)uc->uc_mcontext.__reserved;
	for (;;) {
		struct _aarch64_ctx *head = (struct _aarch64_ctx *)at;
		if (head->magic == FPSIMD_MAGIC)
			return (struct fpsimd_context *)head;
		if (head->magic == 0)
			abort();
		at += head->size;
	}
}

static void fill(uint32_t seed)
{
	volatile uint32_t *words = (uint32_t *)DATA;
	for (uint32_t i = 0; i < DATA_BYTES / 4; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 17;
		seed ^= seed << 5;
		words[i] = seed;
	}
}

static uint32_t sum(void)
{
	const volatile uint32_t *words = (uint32_t *)DATA;
	uint32_t h = 0x811c9dc5;
	for (uint32_t i = 0; i < DATA_BYTES / 4; i++)
		h = (h ^ words[i]) * 0x01000193u;
	return h;
}

static void write_code(uint64_t at, const struct input *c)
{
	uint32_t *words = (uint32_t *)at;
	for (uint32_t i = 0; i < SLOT_WORDS; i++)
		words[i] = i < c->count ? c->words[i] : BREAK;
	__builtin___clear_cache((char *)at, (char *)at + 4 * SLOT_WORDS);
}

static void begin(ucontext_t *uc)
{
	const struct input *c = &cases[next];
	struct fpsimd_context *fp = fp_of(uc);
	memcpy(uc->uc_mcontext.regs, c->x, sizeof(c->x));
	uc->uc_mcontext.sp = c->sp;
	uc->uc_mcontext.pstate = c->nzcv;
	fp->fpcr = c->fpcr;
	fp->fpsr = c->fpsr;
	memcpy(fp->vregs, c->v, sizeof(c->v));
	if (c->branches) {
		start = BRANCHES + BRANCHES_BYTES / 2;
		write_code(start, c);
	} else {
		start = CODE + (uint64_t)next * 4 * SLOT_WORDS;
	}
	uc->uc_mcontext.pc = start;
	if (c->memory_seed)
		fill(c->memory_seed);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	static int started;
	(void)info;
	/* A case is begun anew at its first tick, since a signal clears the exclusive monitor, and ends at its second. */
	if (number == SIGPROF && ticked != next) {
		ticked = next;
		begin(uc);
		return;
	}
	if (started) {
		struct output *r = &results[next - head.first];
		struct fpsimd_context *fp = fp_of(uc);
		memcpy(r->x, uc->uc_mcontext.regs, sizeof(r->x));
		r->sp = uc->uc_mcontext.sp;
		r->pc = uc->uc_mcontext.pc;
		r->nzcv = uc->uc_mcontext.pstate & 0xf0000000u;
		r->fpsr = fp->fpsr;
		r->signal = number;
		memcpy(r->v, fp->vregs, sizeof(r->v));
		r->memory = cases[next].memory_seed ? sum() : 0;
		next++;
	}
	started = 1;
	sigdelset(&uc->uc_sigmask, SIGPROF);
	if (next == head.end) {
		fwrite(results, sizeof(*results), head.end - head.first, stdout);
		fflush(stdout);
		_exit(0);
	}
	begin(uc);
}

static void *map(uint64_t at, uint64_t bytes, int protection)
{
	void *p = mmap((void *)at, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return p;
}

int main(void)
{
	static char stack[1 << 16];
	sigset_t ticking;
	stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	struct rlimit limit = { .rlim_cur = 60, .rlim_max = 60 };
	int signals[] = { SIGTRAP, SIGILL, SIGSEGV, SIGBUS, SIGFPE, SIGPROF };
	/* Of the time that this process takes, so that it may wait as long as it likes. */
	struct itimerval ticks = { .it_interval = { .tv_usec = 100000 }, .it_value = { .tv_usec = 100000 } };

	/* Where the timer does not help, since it is QEMU itself that goes on and on. */
	setrlimit(RLIMIT_CPU, &limit);
	if (fread(&head, sizeof(head), 1, stdin) != 1 || (uint64_t)head.count * 4 * SLOT_WORDS > CODE_BYTES)
		return 1;
	cases = malloc(head.count * sizeof(*cases));
	results = malloc((head.end - head.first) * sizeof(*results));
	if (fread(cases, sizeof(*cases), head.count, stdin) != head.count)
		return 1;
	next = head.first;
	map(CODE, CODE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC);
	map(BRANCHES, BRANCHES_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC);
	map(DATA, DATA_BYTES, PROT_READ | PROT_WRITE);
	for (uint32_t i = 0; i < head.count; i++)
		write_code(CODE + (uint64_t)i * 4 * SLOT_WORDS, &cases[i]);
	for (uint64_t i = 0; i < BRANCHES_BYTES; i += 4)
		*(uint32_t *)(BRANCHES + i) = BREAK;
	sigaltstack(&alternate, NULL);
	sigfillset(&action.sa_mask);
	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
	/* The first case unblocks it. */
	sigemptyset(&ticking);
	sigaddset(&ticking, SIGPROF);
	sigprocmask(SIG_BLOCK, &ticking, NULL);
	setitimer(ITIMER_PROF, &ticks, NULL);
	raise(SIGTRAP);
	return 1;
}
