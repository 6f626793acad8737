/* Features of samples on disk: what was written whole is there, and nothing
 * else is. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/train/feature_file.h"
#include "t.h"

#define FLOATS  5
#define SAMPLES 9

static int dir = -1;
static char path[64];

static void
make_dir(void)
{
	snprintf(path, sizeof(path), "%s", "/tmp/rk-features-XXXXXX");
	t_check(mkdtemp(path) != NULL);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	t_check(dir >= 0);
}

static void
remove_dir(void)
{
	close(dir);
	t_check(rk_remove_tree(AT_FDCWD, path) == RK_OK);
}

static struct feature_key
key(char of)
{
	struct feature_key k = { .samples = SAMPLES, .floats = FLOATS };

	memset(k.hex, of, sizeof(k.hex) - 1);
	return k;
}

static struct feature_file *
open_file(const struct feature_key *k)
{
	struct feature_file *f = NULL;
	struct rk_why why = { 0 };

	if (feature_file_open(&f, dir, "f", k, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	return f;
}

static void
features_of(int64_t i, float v[FLOATS])
{
	for (int k = 0; k < FLOATS; k++)
		v[k] = (float)(10 * i + k);
}

/* Is it there, and then as it was written? */
static bool
has(const struct feature_file *f, int64_t i, uint64_t content)
{
	float want[FLOATS], v[FLOATS] = { 0 };

	features_of(i, want);
	if (!feature_file_get(f, i, content, v))
		return false;
	t_check(memcmp(v, want, sizeof(v)) == 0);
	return true;
}

static void
put(struct feature_file *f, int64_t i, uint64_t content)
{
	float v[FLOATS];

	features_of(i, v);
	t_check(feature_file_put(f, i, content, v) == RK_OK);
}

T_CASE(what_was_written_is_there_also_when_it_is_opened_again)
{
	const struct feature_key k = key('a');

	make_dir();
	for (int round = 0; round < 2; round++) {
		struct feature_file *f = open_file(&k);
		for (int64_t i = 0; i < SAMPLES; i++)
			t_check(has(f, i, 77) == (round > 0 && i % 3 == 2));
		put(f, 8, 77);
		put(f, 2, 77);
		put(f, 5, 77);
		t_check(has(f, 8, 77) && has(f, 2, 77) && !has(f, 3, 77));
		feature_file_close(f);
	}
	remove_dir();
}

T_CASE(another_sample_or_another_key_finds_nothing)
{
	const struct feature_key a = key('a'), b = key('b');
	struct feature_key wider = key('b'), more = key('b');

	make_dir();
	struct feature_file *f = open_file(&a);
	put(f, 1, 77);
	t_check(!has(f, 1, 78));
	feature_file_close(f);
	f = open_file(&b);
	t_check(!has(f, 1, 77));
	put(f, 1, 77);
	feature_file_close(f);
	f = open_file(&a);
	t_check(!has(f, 1, 77));
	feature_file_close(f);
	more.samples++;
	wider.floats--;
	f = open_file(&more);
	put(f, SAMPLES, 1);
	feature_file_close(f);
	f = open_file(&wider);
	t_check(feature_record_bytes(wider.floats) ==
	    feature_record_bytes(FLOATS) - 4);
	feature_file_close(f);
	remove_dir();
}

/* Every byte of header and record, and every length. */
T_CASE(a_byte_that_is_not_as_it_was_costs_its_record_and_no_other)
{
	const struct feature_key k = key('a');
	const off_t record = (off_t)feature_record_bytes(FLOATS);
	const off_t from = (off_t)FEATURE_HEADER + 2 * record;

	make_dir();
	for (off_t at = from - record; at <= from + record; at++) {
		struct feature_file *f = open_file(&k);
		for (int64_t i = 1; i < 4; i++)
			put(f, i, 77);
		feature_file_close(f);
		int fd = openat(dir, "f", O_RDWR);
		uint8_t byte;
		t_check(pread(fd, &byte, 1, at) == 1);
		byte ^= 0x10;
		t_check(pwrite(fd, &byte, 1, at) == 1);
		close(fd);
		f = open_file(&k);
		for (int64_t i = 1; i < 4; i++)
			t_check(has(f, i, 77) ==
			    ((at - (off_t)FEATURE_HEADER) / record != i));
		feature_file_close(f);
		fd = openat(dir, "f", O_RDWR);
		t_check(ftruncate(fd, at) == 0);
		close(fd);
		f = open_file(&k);
		t_check(!has(f, 3, 77) && !has(f, 2, 77) == (at < from +
		    record));
		feature_file_close(f);
	}
	remove_dir();
}

T_CASE(a_header_that_is_not_ours_is_begun_anew)
{
	const struct feature_key k = key('a');

	make_dir();
	for (off_t at = 0; at < 128; at += 3) {
		struct feature_file *f = open_file(&k);
		put(f, 1, 77);
		feature_file_close(f);
		int fd = openat(dir, "f", O_RDWR);
		uint8_t byte;
		t_check(pread(fd, &byte, 1, at) == 1);
		byte ^= 1;
		t_check(pwrite(fd, &byte, 1, at) == 1);
		close(fd);
		f = open_file(&k);
		if (at < 120 && has(f, 1, 77))
			t_fail("byte %lld", (long long)at);
		put(f, 4, 77);
		t_check(has(f, 4, 77));
		feature_file_close(f);
	}
	remove_dir();
}

/* Whatever lies in its place is not followed, waited for or written to. */
T_CASE(what_is_no_file_is_refused)
{
	const struct feature_key k = key('a');
	struct feature_file *f = NULL;
	struct rk_why why = { 0 };

	make_dir();
	t_check(symlinkat("g", dir, "f") == 0);
	t_check(feature_file_open(&f, dir, "f", &k, &why) != RK_OK);
	t_check(f == NULL && faccessat(dir, "g", F_OK, 0) != 0);
	unlinkat(dir, "f", 0);
	t_check(mkfifoat(dir, "f", 0600) == 0);
	t_eq_int(feature_file_open(&f, dir, "f", &k, &why), RK_EINVAL);
	rk_why_fini(&why);
	t_eq_int(feature_file_open(&f, dir, "f", &k, &why), RK_EINVAL);
	t_has(rk_why_first(&why), "no regular file");
	rk_why_fini(&why);
	remove_dir();
}

T_CASE(sizes_that_cannot_be_counted_are_refused)
{
	struct feature_key k = key('a');
	struct feature_file *f = NULL;
	struct rk_why why = { 0 };

	t_eq_int((int64_t)feature_record_bytes(0), 0);
	t_eq_int((int64_t)feature_record_bytes(INT64_MAX), 0);
	t_eq_int((int64_t)feature_record_bytes(INT64_MAX / 4), 0);
	make_dir();
	k.samples = INT64_MAX / 8;
	t_eq_int(feature_file_open(&f, dir, "f", &k, &why), RK_EINVAL);
	t_has(rk_why_first(&why), "larger than a file can be");
	rk_why_fini(&why);
	remove_dir();
}

T_MAIN
