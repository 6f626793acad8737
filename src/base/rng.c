/*
 * Random numbers without state: philox, draws from it, and a permutation.
 *
 * The words of stream (seed, a, b) are numbered from 0; word w is
 *
 *   philox(key = seed, ctr = (w / 4, a, b))[w mod 4]
 *
 * so that four words in a row cost one philox.
 */
#include <errno.h>
#include <math.h>
#include <sys/random.h>

#include "rekindle/base.h"

#define PHILOX_M0 0xD2511F53u
#define PHILOX_M1 0xCD9E8D57u
#define PHILOX_W0 0x9E3779B9u
#define PHILOX_W1 0xBB67AE85u
#define PHILOX_ROUNDS 10

void
rk_philox(const uint32_t key[2], const uint32_t ctr[4], uint32_t out[4])
{
	uint32_t k0 = key[0], k1 = key[1];
	uint32_t c0 = ctr[0], c1 = ctr[1], c2 = ctr[2], c3 = ctr[3];

	for (int r = 0; r < PHILOX_ROUNDS; r++) {
		uint64_t p0 = (uint64_t)PHILOX_M0 * c0;
		uint64_t p1 = (uint64_t)PHILOX_M1 * c2;
		c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
		c1 = (uint32_t)p1;
		c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
		c3 = (uint32_t)p0;
		k0 += PHILOX_W0;
		k1 += PHILOX_W1;
	}
	out[0] = c0;
	out[1] = c1;
	out[2] = c2;
	out[3] = c3;
}

/* Words 4*block to 4*block+3 of the stream. */
static void
draw_block(uint64_t seed, uint32_t a, uint32_t b, uint64_t block,
    uint32_t out[4])
{
	uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
	uint32_t ctr[4] = { (uint32_t)block, (uint32_t)(block >> 32), a, b };

	rk_philox(key, ctr, out);
}

/* 24 bits, all that a float in [0, 1) can hold at even spacing. */
static float
to_unit(uint32_t w)
{
	return (float)(w >> 8) * 0x1p-24f;
}

/* Box-Muller: words (2j, 2j+1) make the normals (2j, 2j+1). */
static float
to_normal(uint32_t w0, uint32_t w1, bool second)
{
	double r = sqrt(-2.0 * log(((double)w0 + 1.0) * 0x1p-32));
	double phi = 2.0 * M_PI * ((double)w1 * 0x1p-32);

	return (float)(r * (second ? sin(phi) : cos(phi)));
}

uint32_t
rk_draw_u32(uint64_t seed, uint32_t a, uint32_t b, uint64_t index)
{
	uint32_t w[4];

	draw_block(seed, a, b, index / 4, w);
	return w[index % 4];
}

float
rk_draw_unit(uint64_t seed, uint32_t a, uint32_t b, uint64_t index)
{
	return to_unit(rk_draw_u32(seed, a, b, index));
}

float
rk_draw_normal(uint64_t seed, uint32_t a, uint32_t b, uint64_t index)
{
	uint32_t w[4];

	draw_block(seed, a, b, index / 4, w);
	size_t pair = index % 4 & ~(size_t)1;
	return to_normal(w[pair], w[pair + 1], index % 2);
}

void
rk_fill_u32(uint32_t *out, size_t n, uint64_t seed, uint32_t a, uint32_t b,
    uint64_t first)
{
	uint32_t w[4];

	for (size_t i = 0; i < n; i++) {
		if (i == 0 || (first + i) % 4 == 0)
			draw_block(seed, a, b, (first + i) / 4, w);
		out[i] = w[(first + i) % 4];
	}
}

void
rk_fill_unit(float *out, size_t n, uint64_t seed, uint32_t a, uint32_t b,
    uint64_t first)
{
	uint32_t w[4];

	for (size_t i = 0; i < n; i++) {
		if (i == 0 || (first + i) % 4 == 0)
			draw_block(seed, a, b, (first + i) / 4, w);
		out[i] = to_unit(w[(first + i) % 4]);
	}
}

/* The finaliser of splitmix64: each bit in stirs all bits out. */
static uint64_t
stir(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
	x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
	return x ^ (x >> 31);
}

#define FEISTEL_ROUNDS 8

uint64_t
rk_permute(uint64_t seed, uint64_t tweak, uint64_t n, uint64_t i)
{
	uint32_t w[8], t0 = (uint32_t)tweak, t1 = (uint32_t)(tweak >> 32);
	unsigned half = 1;

	must(n >= 1 && n <= (uint64_t)1 << 62 && i < n);
	draw_block(seed, t0, t1, 0, w);
	draw_block(seed, t0, t1, 1, w + 4);
	while ((uint64_t)1 << (2 * half) < n)
		half++;
	const uint64_t mask = ((uint64_t)1 << half) - 1;

	/*
	 * The network permutes 0..4^half-1, so walking on from a place that
	 * is not below n comes back to one that is: at the worst to i's own.
	 * 4^half < 4n, so that takes fewer than four steps on average.
	 */
	do {
		uint64_t l = i >> half, r = i & mask;
		for (int k = 0; k < FEISTEL_ROUNDS; k++) {
			uint64_t key = (uint64_t)w[k] << 32 | (uint32_t)k;
			uint64_t f = stir(r + key) >> 32;
			uint64_t next = l ^ (f & mask);
			l = r;
			r = next;
		}
		i = l << half | r;
	} while (i >= n);
	return i;
}

void
rk_random_bytes(void *p, size_t n)
{
	unsigned char *b = p;

	while (n > 0) {
		ssize_t k = getrandom(b, n, 0);
		if (k < 0) {
			must(errno == EINTR);
			continue;
		}
		b += k;
		n -= (size_t)k;
	}
}
