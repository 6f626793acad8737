/*
 * XXH64 (https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md): four lanes of
 * 64 bits eat 32 bytes a round; what is left goes in by 8, 4 and 1; the end
 * stirs all bits.  Little-endian on every machine.
 */
#include <endian.h>
#include <string.h>

#include "rekindle/base.h"

#define P1 0x9E3779B185EBCA87ull
#define P2 0xC2B2AE3D27D4EB4Full
#define P3 0x165667B19E3779F9ull
#define P4 0x85EBCA77C2B2AE63ull
#define P5 0x27D4EB2F165667C5ull
#define LANES 4

static inline uint64_t
rotl(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

static inline uint64_t
read64(const unsigned char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static inline uint32_t
read32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static inline uint64_t
lane_add(uint64_t lane, uint64_t v)
{
	return rotl(lane + v * P2, 31) * P1;
}

/* The lanes put together, after all whole rounds. */
static uint64_t
merge(const uint64_t lane[LANES])
{
	uint64_t h = rotl(lane[0], 1) + rotl(lane[1], 7) +
	    rotl(lane[2], 12) + rotl(lane[3], 18);

	for (int i = 0; i < LANES; i++)
		h = (h ^ lane_add(0, lane[i])) * P1 + P4;
	return h;
}

static uint64_t
rest(uint64_t h, const unsigned char *p, size_t n)
{
	for (; n >= 8; n -= 8, p += 8)
		h = rotl(h ^ lane_add(0, read64(p)), 27) * P1 + P4;
	for (; n >= 4; n -= 4, p += 4)
		h = rotl(h ^ read32(p) * P1, 23) * P2 + P3;
	for (; n > 0; n--, p++)
		h = rotl(h ^ *p * P5, 11) * P1;
	h = (h ^ h >> 33) * P2;
	h = (h ^ h >> 29) * P3;
	return h ^ h >> 32;
}

uint64_t
rk_hash64(uint64_t seed, const void *bytes, size_t n)
{
	uint64_t lane[LANES] = { seed + P1 + P2, seed + P2, seed, seed - P1 };
	const unsigned char *p = bytes;
	uint64_t h = seed + P5;
	size_t left = n;

	for (; left >= 32; left -= 32, p += 32)
		for (int i = 0; i < LANES; i++)
			lane[i] = lane_add(lane[i], read64(p + 8 * i));
	if (n >= 32)
		h = merge(lane);
	return rest(h + n, p, left);
}
