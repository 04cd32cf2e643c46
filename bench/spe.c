/* A hot loop: four instructions that stay in registers, so that what a sample takes is all that it takes. */
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	unsigned long left = argc > 1 ? strtoul(argv[1], NULL, 0) : 1;
	unsigned long sum = 0;
	while (left--)
		__asm__ volatile("add %0, %0, %1" : "+r"(sum) : "r"(left));
	printf("%lu\n", sum);
	return 0;
}
