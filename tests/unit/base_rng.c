/* Random numbers: the reference vectors, and a permutation that is one. */
#include "rekindle/base.h"
#include "t.h"

static void
philox_is(const uint32_t key[2], const uint32_t ctr[4], const uint32_t want[4])
{
	uint32_t out[4];
	rk_philox(key, ctr, out);
	for (int i = 0; i < 4; i++)
		t_eq_int(out[i], want[i]);
}

/* The known answers of Random123 for philox4x32-10. */
T_CASE(philox_gives_the_reference_words)
{
	const uint32_t f = 0xffffffff;
	philox_is((uint32_t[]){ 0, 0 }, (uint32_t[]){ 0, 0, 0, 0 },
	    (uint32_t[]){ 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 });
	philox_is((uint32_t[]){ f, f }, (uint32_t[]){ f, f, f, f },
	    (uint32_t[]){ 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd });
	philox_is((uint32_t[]){ 0xa4093822, 0x299f31d0 },
	    (uint32_t[]){ 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
	    (uint32_t[]){ 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 });
}

static void
is_bijection(uint64_t seed, uint64_t tweak, uint64_t n)
{
	unsigned char *hit = xcalloc(n, 1);
	for (uint64_t i = 0; i < n; i++) {
		uint64_t j = rk_permute(seed, tweak, n, i);
		t_check(j < n);
		t_check(hit[j] == 0);
		hit[j] = 1;
	}
	free(hit);
}

T_CASE(a_permutation_takes_each_place_once_for_every_n)
{
	for (uint64_t n = 1; n <= 300; n++)
		for (uint64_t s = 0; s < 4; s++)
			is_bijection(s, n + s, n);
	static const uint64_t big[] = { 1023, 1024, 1025, 4095, 4096, 4097,
	    60000, 65535, 65536, 65537, 262144, 262145, 1000003 };
	for (size_t i = 0; i < RK_ARRAY_LEN(big); i++)
		is_bijection(7, 1, big[i]);
}

T_CASE(a_permutation_of_the_largest_n_stays_below_it)
{
	uint64_t n = (uint64_t)1 << 62;
	for (uint64_t i = 0; i < 1000; i++) {
		t_check(rk_permute(1, 2, n, n - 1 - i) < n);
		t_check(rk_permute(1, 2, n - 1, n - 2 - i) < n - 1);
	}
	t_aborts(rk_permute(1, 2, n + 1, 0));
	t_aborts(rk_permute(1, 2, 0, 0));
	t_aborts(rk_permute(1, 2, 5, 5));
}

static size_t
same_places(uint64_t s1, uint64_t t1, uint64_t s2, uint64_t t2, uint64_t n)
{
	size_t same = 0;
	for (uint64_t i = 0; i < n; i++)
		same += rk_permute(s1, t1, n, i) == rk_permute(s2, t2, n, i);
	return same;
}

/* Two random permutations agree in one place on average, whatever n is. */
T_CASE(another_seed_or_tweak_gives_another_permutation)
{
	t_check(same_places(1, 0, 1, 1, 60000) < 12);
	t_check(same_places(1, 0, 2, 0, 60000) < 12);
	t_check(same_places(1, 0, 1, (uint64_t)1 << 32, 60000) < 12);
	t_check(same_places(1, 0, (uint64_t)1 << 32 | 1, 0, 60000) < 12);
}

/* Seen as (i, p(i)) in a 16 x 16 board, each square gets 60000/256 = 234.4
 * points; chi-square with about 225 degrees of freedom: 225 +- 5*sqrt(450). */
T_CASE(a_permutation_looks_random)
{
	const uint64_t n = 60000;
	for (uint64_t tweak = 0; tweak < 8; tweak++) {
		double board[16][16] = {{0}}, chi = 0;
		uint64_t runs = 0, last = 0;
		for (uint64_t i = 0; i < n; i++) {
			uint64_t p = rk_permute(42, tweak, n, i);
			board[i * 16 / n][p * 16 / n]++;
			runs += i > 0 && p == last + 1;
			last = p;
		}
		for (int i = 0; i < 256; i++) {
			double d = board[i / 16][i % 16] - 60000.0 / 256;
			chi += d * d / (60000.0 / 256);
		}
		t_near(chi, 225, 106);
		t_check(runs < 12);
	}
}

/* All six orders of three, about equally often: 1000 each, sd 29. */
T_CASE(small_permutations_come_in_every_order)
{
	int seen[27] = {0};
	for (uint64_t tweak = 0; tweak < 6000; tweak++)
		seen[rk_permute(9, tweak, 3, 0) * 9 +
		    rk_permute(9, tweak, 3, 1) * 3 +
		    rk_permute(9, tweak, 3, 2)]++;
	int orders = 0;
	for (int i = 0; i < 27; i++) {
		if (seen[i] == 0)
			continue;
		orders++;
		t_near(seen[i], 1000, 150);
	}
	t_eq_int(orders, 6);
}

T_CASE(filling_equals_drawing_one_by_one)
{
	uint32_t w[23];
	float u[23];
	for (uint64_t first = 0; first < 9; first++) {
		rk_fill_u32(w, 23, 5, 6, 7, first);
		rk_fill_unit(u, 23, 5, 6, 7, first);
		for (uint64_t i = 0; i < 23; i++) {
			t_eq_int(w[i], rk_draw_u32(5, 6, 7, first + i));
			t_check(u[i] == rk_draw_unit(5, 6, 7, first + i));
		}
	}
}

/* Mean of 10^6 uniforms: sd 0.289/1000; variance 1/12, sd about 7.5e-5. */
T_CASE(unit_draws_are_uniform_in_0_to_1)
{
	const int n = 1000000;
	double sum = 0, sq = 0;
	for (int i = 0; i < n; i++) {
		double x = rk_draw_unit(1, 2, 3, (uint64_t)i);
		t_check(x >= 0 && x < 1);
		sum += x;
		sq += x * x;
	}
	double mean = sum / n;
	t_near(mean, 0.5, 5 * 0.289 / 1000);
	t_near(sq / n - mean * mean, 1.0 / 12, 5 * 7.5e-5);
}

/* Of 10^6 normals: mean sd 0.001, variance sd 0.0014, kurtosis sd 0.0049;
 * neighbours (a Box-Muller pair) uncorrelated, sd 0.001. */
T_CASE(normal_draws_are_normal)
{
	const int n = 1000000;
	double s1 = 0, s2 = 0, s4 = 0, lag = 0, last = 0;
	for (int i = 0; i < n; i++) {
		double x = rk_draw_normal(1, 2, 3, (uint64_t)i);
		t_check(isfinite(x));
		s1 += x;
		s2 += x * x;
		s4 += x * x * x * x;
		lag += x * last;
		last = x;
	}
	t_near(s1 / n, 0, 0.005);
	t_near(s2 / n, 1, 0.007);
	t_near(s4 / n, 3, 0.05);
	t_near(lag / n, 0, 0.005);
}

/* The draws are part of what a resumed run repeats: they may never change. */
T_CASE(draws_are_what_they_always_were)
{
	t_eq_int(rk_draw_u32(0, 0, 0, 0), 0x6627e8d5);
	t_eq_int(rk_draw_u32(0, 0, 0, 3), 0x9b00dbd8);
	t_eq_int(rk_permute(1, 2, 60000, 0), 3239);
	t_eq_int(rk_permute(1, 2, 60000, 59999), 52816);
}

T_MAIN
