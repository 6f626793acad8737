/* MD5, CRC-64/XZ, XXH64 and XXH3: published values, and that pieces give what the
 * whole gives. */
#include "rekindle/base.h"
#include "t.h"

static void
md5_is(const char *s, const char *want)
{
	struct rk_md5 *d = rk_md5_new();
	unsigned char md[16];
	char hex[33];

	rk_md5_add(d, s, strlen(s));
	rk_md5_end(d, md);
	for (int i = 0; i < 16; i++)
		snprintf(hex + 2 * i, 3, "%02x", md[i]);
	t_eq_str(hex, want);
}

T_CASE(md5_of_the_strings_in_rfc_1321)
{
	md5_is("", "d41d8cd98f00b204e9800998ecf8427e");
	md5_is("abc", "900150983cd24fb0d6963f7d28e17f72");
	md5_is("message digest", "f96b697d7cb7938d525a2f31aaf161d0");
}

T_CASE(crc64_of_published_strings)
{
	const char *s = "This is a test of the emergency broadcast system.";

	t_check(rk_crc64(0, "", 0) == 0);
	t_check(rk_crc64(0, "123456789", 9) == 11051210869376104954ull);
	t_check(rk_crc64(0, s, strlen(s)) == 0x27DB187FC15BBC72ull);
}

/* One bit at a time, from the definition. */
static uint64_t
slow(const unsigned char *p, size_t n)
{
	uint64_t c = ~0ull;

	for (size_t i = 0; i < n; i++) {
		c ^= p[i];
		for (int b = 0; b < 8; b++)
			c = (c >> 1) ^ (c & 1 ? 0xC96C5795D7870F42ull : 0);
	}
	return ~c;
}

T_CASE(crc64_does_not_care_how_bytes_are_cut_or_lie)
{
	unsigned char p[1000];

	rk_random_bytes(p, sizeof(p));
	for (size_t n = 0; n < 100; n++)
		for (size_t at = 0; at < 9; at++)
			t_check(rk_crc64(0, p + at, n) == slow(p + at, n));
	for (size_t cut = 0; cut <= sizeof(p); cut += 7)
		t_check(rk_crc64(rk_crc64(0, p, cut), p + cut,
		    sizeof(p) - cut) == slow(p, sizeof(p)));
}

T_CASE(crc64_of_two_parts_combine_to_that_of_both)
{
	unsigned char p[1000];
	uint64_t all = slow(p, 0);

	rk_random_bytes(p, sizeof(p));
	all = slow(p, sizeof(p));
	for (size_t cut = 0; cut <= sizeof(p); cut++) {
		uint64_t a = rk_crc64(0, p, cut);
		uint64_t b = rk_crc64(0, p + cut, sizeof(p) - cut);

		t_check(rk_crc64_combine(a, b, sizeof(p) - cut) == all);
	}
}

T_CASE(crc64_combines_over_lengths_that_no_memory_holds)
{
	/* 2^34 zero bytes appended at once, and in 2^14 steps of 2^20. */
	static unsigned char zeros[1 << 20];
	uint64_t z = rk_crc64(0, zeros, sizeof(zeros)), a, b, zz = z;

	a = b = rk_crc64(0, "abc", 3);
	for (int i = 0; i < 1 << 14; i++)
		b = rk_crc64_combine(b, z, sizeof(zeros));
	for (int i = 0; i < 14; i++)
		zz = rk_crc64_combine(zz, zz, 1ull << (20 + i));
	t_check(rk_crc64_combine(a, zz, 1ull << 34) == b);
}

T_CASE(the_64_bit_hash_is_xxh64)
{
	static const struct {
		uint64_t seed, want;
		const char *text;
	} v[] = {
		{ 0, 0xef46db3751d8e999, "" },
		{ 0, 0x44bc2cf5ad770999, "abc" },
		{ 0, 0x32dd38952c4bc720, "xxhash" },
		{ 20141025, 0xb559b98d844e0635, "xxhash" },
		{ 0, 0xfbcea83c8a378bf1,
		    "Nobody inspects the spammish repetition" },
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(v); i++)
		t_check(rk_hash64(v[i].seed, v[i].text, strlen(v[i].text)) ==
		    v[i].want);
}

/* As `xxhsum -H2` prints them. */
T_CASE(the_128_bit_hash_is_xxh3_in_pieces_too)
{
	static const struct {
		size_t n;
		const char *want;
	} v[] = {
		{ 0, "99aa06d3014798d86001c324468d497f" },
		{ 3, "656e81c56e41fe02c3489259e968ad9e" },
		{ 200, "dbfff5e13c798ab90497bdb3d145ccd6" },
		{ 100000, "faa51cdf3b1485174e16d63e05fac6ed" },
	};
	static unsigned char bytes[100000];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 7 + i / 251);
	for (size_t i = 0; i < RK_ARRAY_LEN(v); i++) {
		for (size_t piece = 1; piece < 200000; piece *= 37) {
			struct rk_xxh128 *d = rk_xxh128_new();
			char hex[RK_XXH128_HEX];
			for (size_t at = 0; at < v[i].n; at += piece)
				rk_xxh128_add(d, bytes + at, RK_MIN(piece,
				    v[i].n - at));
			rk_xxh128_end(d, hex);
			t_eq_str(hex, v[i].want);
		}
	}
}

T_MAIN
