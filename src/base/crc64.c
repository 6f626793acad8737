/*
 * CRC-64/XZ: the polynomial of ECMA-182, reflected; register begun and ended
 * with all ones.  In this form bit 63 stands for x^0, and a shift to the right
 * multiplies by x.
 *
 * Sixteen bytes a round: table k has the effect that a byte has which is k
 * bytes away from the end of the round.
 */
#include <endian.h>
#include <pthread.h>
#include <string.h>

#include "rekindle/base.h"

#define POLY  0xC96C5795D7870F42ull
#define ROUND 16

static uint64_t table[ROUND][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
make_table(void)
{
	for (unsigned i = 0; i < 256; i++) {
		uint64_t c = i;

		for (int bit = 0; bit < 8; bit++)
			c = (c >> 1) ^ (c & 1 ? POLY : 0);
		table[0][i] = c;
	}
	for (unsigned i = 0; i < 256; i++)
		for (int k = 1; k < ROUND; k++) {
			uint64_t c = table[k - 1][i];

			table[k][i] = (c >> 8) ^ table[0][c & 255];
		}
}

static inline uint64_t
eight(uint64_t v, const uint64_t t[8][256])
{
	return t[7][v & 255] ^ t[6][v >> 8 & 255] ^ t[5][v >> 16 & 255] ^
	    t[4][v >> 24 & 255] ^ t[3][v >> 32 & 255] ^ t[2][v >> 40 & 255] ^
	    t[1][v >> 48 & 255] ^ t[0][v >> 56];
}

uint64_t
rk_crc64(uint64_t crc, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;
	uint64_t c = ~crc, v[2];

	must(pthread_once(&once, make_table) == 0);
	for (; n >= ROUND; n -= ROUND, p += ROUND) {
		memcpy(v, p, sizeof(v));
		c = eight(c ^ le64toh(v[0]), table + 8) ^
		    eight(le64toh(v[1]), table);
	}
	for (; n > 0; n--, p++)
		c = (c >> 8) ^ table[0][(c ^ *p) & 255];
	return ~c;
}

/* a(x) · b(x) modulo the polynomial */
static uint64_t
times(uint64_t a, uint64_t b)
{
	uint64_t sum = 0;

	for (; a != 0; a <<= 1) {
		if (a >> 63)
			sum ^= b;
		b = (b >> 1) ^ (b & 1 ? POLY : 0);
	}
	return sum;
}

/*
 * To append n bytes multiplies the register by x^(8n); that it begins and ends
 * with ones cancels out between a and b.
 */
uint64_t
rk_crc64_combine(uint64_t a, uint64_t b, uint64_t b_len)
{
	uint64_t square = 1ull << (63 - 8), shift = 1ull << 63;

	for (; b_len != 0; b_len >>= 1) {
		if (b_len & 1)
			shift = times(shift, square);
		square = times(square, square);
	}
	return times(shift, a) ^ b;
}
