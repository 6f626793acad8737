/* How large objects are cut, and what stores say of parts and ranges. */
#include "large.h"
#include "t.h"

#define MIB (1ull << 20)

/* --- parts -------------------------------------------------------------- */

T_CASE(parts_grow_when_there_would_be_too_many)
{
	t_eq_int(plan_part_size(16 * MIB, 0), 16 * MIB);
	t_eq_int(plan_part_size(16 * MIB, 9000 * 16 * MIB), 16 * MIB);
	t_eq_int(plan_part_size(16 * MIB, 9000 * 16 * MIB + 1), 17 * MIB);
	/* 5 TiB, the most an object may have, over 9,000: 582.5 MiB. */
	t_eq_int(plan_part_size(16 * MIB, 5ull << 40), 583 * MIB);
	t_check(plan_parts(5ull << 40, 583 * MIB) <= 9000);
}

T_CASE(parts_cover_the_file_and_an_empty_one_has_one)
{
	t_eq_int(plan_parts(0, 16 * MIB), 1);
	t_eq_int(plan_parts(1, 16 * MIB), 1);
	t_eq_int(plan_parts(16 * MIB, 16 * MIB), 1);
	t_eq_int(plan_parts(16 * MIB + 1, 16 * MIB), 2);
	t_eq_int(plan_parts(10000, 1), 10000);
	t_eq_int(plan_parts(10001, 1), 0);
	t_eq_int(plan_parts(10, 0), 0);
}

/* --- digests ------------------------------------------------------------ */

T_CASE(crc32c_of_the_check_string_whole_and_in_pieces)
{
	const char *s = "123456789";

	t_eq_int(crc32c(0, s, 9), 0xE3069283u);
	for (size_t i = 0; i <= 9; i++)
		t_eq_int(crc32c(crc32c(0, s, i), s + i, 9 - i), 0xE3069283u);
}

T_CASE(an_etag_of_parts_is_the_md5_of_their_md5s)
{
	/* md5(md5("a") md5("b")) as bytes, by python's hashlib */
	unsigned char md5[2][16];
	char etag[ETAG_MAX];

	t_check(etag_md5("0cc175b9c0f1b6a831c399e269772661", md5[0]));
	t_check(etag_md5("92EB5FFEE6AE2FEC3AD71C777531578F", md5[1]));
	etag_of_parts(etag, (const unsigned char (*)[16])md5, 2);
	t_eq_str(etag, "96e024ba2074fe77e8e965ba43a704be-2");
	t_check(!etag_md5(etag, md5[0]));
	t_check(!etag_md5("0cc175b9c0f1b6a831c399e26977266", md5[0]));
	t_check(!etag_md5("", md5[0]));
}

T_CASE(etags_lose_their_quotes_and_must_be_sane)
{
	char e[ETAG_MAX], longer[300];

	t_check(etag_read(e, "\"abc\""));
	t_eq_str(e, "abc");
	t_check(etag_read(e, " \"abc-2\" "));
	t_eq_str(e, "abc-2");
	t_check(etag_read(e, "W/\"abc\""));
	t_eq_str(e, "abc");
	t_check(etag_read(e, "abc"));
	t_eq_str(e, "abc");
	t_check(!etag_read(e, ""));
	t_check(!etag_read(e, "\"\""));
	t_check(!etag_read(e, NULL));
	t_check(!etag_read(e, "a\nb"));
	memset(longer, 'a', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	t_check(!etag_read(e, longer));
}

T_CASE(content_ranges_are_believed_only_whole)
{
	uint64_t a, b, t;

	t_check(content_range_read("bytes 0-99/100", &a, &b, &t));
	t_check(a == 0 && b == 99 && t == 100);
	t_check(content_range_read("bytes 5-5/*", &a, &b, &t));
	t_check(a == 5 && b == 5 && t == UINT64_MAX);
	t_check(!content_range_read(NULL, &a, &b, &t));
	t_check(!content_range_read("bytes */100", &a, &b, &t));
	t_check(!content_range_read("bytes 5-4/100", &a, &b, &t));
	t_check(!content_range_read("bytes 0-100/100", &a, &b, &t));
	t_check(!content_range_read("bytes 0-9", &a, &b, &t));
	t_check(!content_range_read("bytes -1-9/10", &a, &b, &t));
	t_check(!content_range_read("bytes 0-99999999999999999999/*", &a, &b,
	    &t));
	t_check(!content_range_read("bytes 1-18446744073709551615/*", &a, &b,
	    &t));
	t_check(!content_range_read("items 0-9/10", &a, &b, &t));
}

/* --- ListParts ---------------------------------------------------------- */

struct seen {
	size_t n;
	struct listed last;
};

static void
note(void *ctx, const struct listed *l)
{
	struct seen *s = ctx;

	s->n++;
	s->last = *l;
}

static bool
reads(const char *xml, struct seen *s, unsigned *next)
{
	*s = (struct seen){ 0 };
	return parts_read(xml, strlen(xml), note, s, next);
}

T_CASE(a_list_of_parts_is_read_with_its_next_page)
{
	struct seen s;
	unsigned next;

	t_check(reads("<?xml version='1.0'?><ListPartsResult xmlns=\"x\">"
	    "<NextPartNumberMarker>7</NextPartNumberMarker>"
	    "<IsTruncated>true</IsTruncated><Part><PartNumber>2</PartNumber>"
	    "<ETag>&quot;aa&quot;</ETag><Size>5</Size></Part><Part>"
	    "<HashCrc64ecma>18446744073709551615</HashCrc64ecma>"
	    "<PartNumber>7</PartNumber><ETag>\"BB\"</ETag><Size>6</Size>"
	    "</Part></ListPartsResult>", &s, &next));
	t_eq_int(s.n, 2);
	t_eq_int(s.last.number, 7);
	t_eq_int(s.last.size, 6);
	t_eq_str(s.last.etag, "BB");
	t_check(s.last.has_crc64 && s.last.crc64 == UINT64_MAX);
	t_eq_int(next, 7);
}

T_CASE(a_list_of_parts_ends_where_it_says_so)
{
	struct seen s;
	unsigned next;

	t_check(reads("<ListPartsResult><NextPartNumberMarker>7"
	    "</NextPartNumberMarker><IsTruncated>false</IsTruncated>"
	    "</ListPartsResult>", &s, &next));
	t_eq_int(next, 0);
	t_eq_int(s.n, 0);
	t_check(!reads("<Error><Code>X</Code></Error>", &s, &next));
	t_check(!reads("<ListPartsResult><Part>", &s, &next));
	t_check(!reads("", &s, &next));
	t_check(reads("<ListPartsResult><Part><PartNumber>10001</PartNumber>"
	    "</Part><Part><PartNumber>-1</PartNumber></Part>"
	    "</ListPartsResult>", &s, &next));
	t_eq_int(s.n, 0);
}

/* --- ranges ------------------------------------------------------------- */

T_CASE(ranges_hold_what_a_map_of_bytes_holds)
{
	for (uint32_t round = 0; round < 300; round++) {
		struct ranges r = { 0 };
		struct remote_range gap;
		bool map[64] = { false };
		uint32_t draw = 0;

		for (int i = 0; i < 12; i++) {
			uint64_t at = rk_draw_u32(1, round, 0, draw++) % 60;
			uint64_t n = rk_draw_u32(1, round, 0, draw++) %
			    (64 - at);

			n %= 9;
			ranges_add(&r, at, n);
			for (uint64_t k = at; k < at + n; k++)
				map[k] = true;
		}
		for (size_t i = 1; i < r.n; i++)
			t_check(r.v[i].at > r.v[i - 1].at + r.v[i - 1].n);
		uint64_t head = 0;
		while (head < 64 && map[head])
			head++;
		t_eq_int(ranges_head(&r), head);
		for (uint64_t from = 0; from < 64; from++) {
			uint64_t want = from;

			while (want < 64 && map[want])
				want++;
			bool is = ranges_gap(&r, from, 64, 4, &gap);
			t_check(is == (want < 64));
			if (!is)
				continue;
			t_eq_int(gap.at, want);
			uint64_t n = 0;
			while (n < 4 && want + n < 64 && !map[want + n])
				n++;
			t_eq_int(gap.n, n);
		}
		ranges_fini(&r);
	}
}

T_CASE(ranges_of_a_download_are_neither_tiny_nor_huge)
{
	t_eq_int(plan_range_size(16 * MIB, 0), 16 * MIB);
	t_eq_int(plan_range_size(16 * MIB, 1ull << 30), 16 * MIB);
	t_eq_int(plan_range_size(16 * MIB, 8ull << 30), 32 * MIB);
	t_eq_int(plan_range_size(16 * MIB, 1ull << 40), 64 * MIB);
	t_eq_int(plan_range_size(128 * MIB, 1ull << 40), 128 * MIB);
}

/* --- what the line gives ------------------------------------------------ */

static double
up_rate(const struct remote_rate *r)
{
	double up, down;

	rate_get(r, &up, &down);
	return up;
}

T_CASE(a_steady_line_gives_its_rate)
{
	struct loop *l;
	struct remote_rate *r;

	t_check(loop_open(&l) == RK_OK);
	r = rate_new(l);
	t_near(up_rate(r), 0, 0);
	rate_idle(r, true, 1000);
	for (int64_t t = 1; t <= 100; t++)
		rate_note(r, true, 5000, 1000 + t * 100);
	t_near(up_rate(r), 50000, 1e-6);
	rate_free(&r);
	loop_close(&l);
}

T_CASE(bytes_in_the_kernels_buffers_are_not_across_before_the_answer)
{
	struct rate_watch w;
	struct remote_rate *r;
	struct loop *l;

	t_check(loop_open(&l) == RK_OK);
	r = rate_new(l);
	rate_begin(r, &w, NULL, true);
	usleep(20000);
	rate_note(r, true, 100000, mono_ms());
	w.seen = 100000;
	usleep(200000);
	rate_end(&w, 100000);
	t_check(up_rate(r) > 0 && up_rate(r) < 100000 / 0.21);
	/* Nothing was sent: a store that is away is no slow line. */
	double was = up_rate(r);
	rate_begin(r, &w, NULL, true);
	usleep(50000);
	rate_end(&w, 0);
	t_near(up_rate(r), was, 1e-6);
	rate_free(&r);
	loop_close(&l);
}

T_CASE(a_rate_forgets_what_is_older_than_half_a_minute)
{
	struct loop *l;
	struct remote_rate *r;
	int64_t t = 1;

	t_check(loop_open(&l) == RK_OK);
	r = rate_new(l);
	rate_idle(r, true, t);
	for (int i = 0; i < 1000; i++)
		rate_note(r, true, 100000, t += 100);
	for (int i = 0; i < 310; i++)
		rate_note(r, true, 1000, t += 100);
	t_near(up_rate(r), 10000, 1e-6);
	rate_free(&r);
	loop_close(&l);
}

T_CASE(a_store_that_is_down_for_an_hour_does_not_make_the_line_slow)
{
	struct loop *l;
	struct remote_rate *r;
	int64_t t = 1;

	t_check(loop_open(&l) == RK_OK);
	r = rate_new(l);
	rate_idle(r, true, t);
	for (int i = 0; i < 100; i++)
		rate_note(r, true, 10000, t += 100);
	t += 3600 * 1000;
	for (int i = 0; i < 100; i++)
		rate_note(r, true, 10000, t += 100);
	/* The silence counts as two seconds: 2 MB (less one note) in 22 s. */
	t_near(up_rate(r), 2000000.0 / 21.9, 500);
	rate_idle(r, true, 0);
	rate_free(&r);
	loop_close(&l);
}

T_MAIN
