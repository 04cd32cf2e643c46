/* What guests compute, a kind each: `programs KIND TIMES`. The output is a number that says whether the work was done. */
#include <arm_neon.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static float a[64][64], b[64][64], c[64][64];
static int16_t voice[4096], other[4096];
static uint32_t numbers[1 << 14];

/* Singles, fused and by element, in vectors. */
static double matrices(int times)
{
	for (int i = 0; i < 64; i++)
		for (int j = 0; j < 64; j++) {
			a[i][j] = i * 0.5f + j;
			b[i][j] = j * 0.25f - i;
		}
	for (int t = 0; t < times; t++)
		for (int i = 0; i < 64; i++)
			for (int k = 0; k < 64; k++)
				for (int j = 0; j < 64; j++)
					c[i][j] += a[i][k] * b[k][j];
	return c[3][5];
}

/* Doubles, one at a time. */
static double sines(int times)
{
	double sum = 0;
	for (int i = 0; i < times; i++)
		sum += sin(i * 0.1) * exp(-i * 1e-4);
	return sum;
}

/* Saturating halfwords, in vectors. */
static double voices(int times)
{
	for (int i = 0; i < 4096; i++) {
		voice[i] = i * 13;
		other[i] = i * 7;
	}
	for (int t = 0; t < times; t++)
		for (int i = 0; i < 4096; i += 8) {
			int16x8_t softer = vqdmulhq_s16(vld1q_s16(voice + i), vdupq_n_s16(30000));
			vst1q_s16(voice + i, vqaddq_s16(softer, vld1q_s16(other + i)));
		}
	return voice[77];
}

static int compare(const void *x, const void *y)
{
	uint32_t p = *(const uint32_t *)x, q = *(const uint32_t *)y;
	return (p > q) - (p < q);
}

/* Integers, branches and calls. */
static double sorting(int times)
{
	uint32_t seed = 1;
	double sum = 0;
	for (int t = 0; t < times; t++) {
		for (int i = 0; i < 1 << 14; i++)
			numbers[i] = seed = seed * 1664525 + 1013904223;
		qsort(numbers, 1 << 14, sizeof(numbers[0]), compare);
		sum += numbers[t];
	}
	return sum;
}

int main(int argc, char **argv)
{
	int times = argc > 2 ? atoi(argv[2]) : 1;
	double result = !strcmp(argv[1], "matrices") ? matrices(times)
		      : !strcmp(argv[1], "sines")    ? sines(times)
		      : !strcmp(argv[1], "voices")   ? voices(times)
						     : sorting(times);
	printf("%.17g\n", result);
	return 0;
}
