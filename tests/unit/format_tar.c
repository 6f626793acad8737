/*
 * The files of a tar: where they lie, of every dialect, and a sentence for what
 * is not taken.
 */
#include <fcntl.h>

#include "impl.h"
#include "t.h"

#define BLOCK 512

struct file {
	uint8_t *p;
	size_t n;
};

static void
put(struct file *f, const void *p, size_t n)
{
	f->p = realloc(f->p, f->n + n + 1);
	t_check(f->p != NULL);
	if (n > 0)
		memcpy(f->p + f->n, p, n);
	f->n += n;
}

static void
pad(struct file *f)
{
	static const uint8_t zeros[BLOCK];

	put(f, zeros, (BLOCK - f->n % BLOCK) % BLOCK);
}

static void
end(struct file *f)
{
	static const uint8_t zeros[2 * BLOCK];

	put(f, zeros, sizeof(zeros));
}

static void
sum(uint8_t h[BLOCK])
{
	unsigned s = 0;
	char text[12];

	memset(h + 148, ' ', 8);
	for (int i = 0; i < BLOCK; i++)
		s += h[i];
	snprintf(text, sizeof(text), "%06o", s);
	memcpy(h + 148, text, 7);
}

enum dialect { OLD, USTAR, GNU };

static void
put_member(struct file *f, enum dialect as, char type, const char *name,
    const char *link, const char *bytes, size_t n)
{
	uint8_t h[BLOCK] = { 0 };
	char size[32];

	memcpy(h, name, RK_MIN(strlen(name), (size_t)100));
	snprintf(size, sizeof(size), "%011zo", n);
	memcpy(h + 124, size, 12);
	h[156] = (uint8_t)type;
	memcpy(h + 157, link, RK_MIN(strlen(link), (size_t)100));
	if (as != OLD)
		memcpy(h + 257, as == USTAR ? "ustar\0" "00" : "ustar  ", 8);
	sum(h);
	put(f, h, BLOCK);
	put(f, bytes, n);
	pad(f);
}

static void
add(struct file *f, char type, const char *name, const char *bytes)
{
	put_member(f, USTAR, type, name, "", bytes, strlen(bytes));
}

static void
pax(struct file *f, char type, const char *key, const char *value)
{
	const size_t body = strlen(key) + strlen(value) + 3;
	size_t len = body + 1;
	char digits[16];

	while (len != body + (size_t)snprintf(digits, sizeof(digits), "%zu",
	    len))
		len++;
	char *line = xasprintf("%zu %s=%s\n", len, key, value);
	put_member(f, USTAR, type, "PaxHeaders/x", "", line, strlen(line));
	free(line);
}

static enum rk_err
parse(const struct file *f, struct format_tar **t, struct rk_why *why)
{
	return format_tar_parse(f->p, f->n, "a.tar", t, why);
}

/* "path=bytes path=bytes ..." of what there is. */
static void
has(const struct file *f, const char *want)
{
	struct rk_why why = {0};
	struct format_tar *t;
	struct strbuf b = {0};

	if (parse(f, &t, &why) != RK_OK)
		t_fail("refused: %s", rk_why_first(&why));
	for (size_t i = 0; i < t->n; i++) {
		char bytes[4096];
		const size_t n = (size_t)t->files[i].size;
		t_check(n < sizeof(bytes));
		t_eq_int(format_tar_read(t, i, 0, bytes, n, &why), RK_OK);
		t_eq_int(format_tar_find(t, t->files[i].path), i);
		sb_addf(&b, "%s%s=%.*s", i > 0 ? " " : "", t->files[i].path,
		    (int)n, bytes);
	}
	sb_addf(&b, " replaced %llu links %llu others %llu",
	    (unsigned long long)t->replaced, (unsigned long long)t->links,
	    (unsigned long long)t->others);
	t_eq_str(sb_str(&b), want);
	sb_fini(&b);
	format_tar_free(t);
}

static void
bad(const struct file *f, const char *words)
{
	struct rk_why why = {0};
	struct format_tar *t = NULL;

	t_eq_int(parse(f, &t, &why), RK_EINVAL);
	t_check(t == NULL && why.n == 1);
	t_has(rk_why_first(&why), words);
	t_check(strncmp(rk_why_first(&why), "a.tar: ", 7) == 0);
	rk_why_fini(&why);
}

static void
bad_member(char type, const char *name, const char *bytes, const char *words)
{
	struct file f = {0};

	add(&f, '0', "before", "x");
	add(&f, type, name, bytes);
	add(&f, '0', "behind", "y");
	end(&f);
	bad(&f, words);
	free(f.p);
}

#define NONE " replaced 0 links 0 others 0"

T_CASE(files_are_in_the_order_of_their_paths_whatever_the_archives_is)
{
	struct file f = {0};

	add(&f, '5', "cats/", "");
	add(&f, '0', "dogs/b.jpg", "bb");
	add(&f, '0', "./cats//a.jpg", "a");
	put_member(&f, OLD, '\0', "old", "", "o", 1);
	put_member(&f, OLD, '\0', "folder/", "", "", 0);
	put_member(&f, GNU, '7', "gnu", "", "g", 1);
	add(&f, '0', "empty", "");
	end(&f);
	has(&f, "cats/a.jpg=a dogs/b.jpg=bb empty= gnu=g old=o" NONE);
	free(f.p);
}

T_CASE(long_names_of_all_dialects_are_read)
{
	struct file f = {0};
	char name[301], want[2000], part[200];
	uint8_t *h;

	memset(name, 'n', 300);
	name[300] = '\0';
	put_member(&f, GNU, 'L', "././@LongLink", "", name, 301);
	put_member(&f, GNU, '0', "nnn", "", "1", 1);
	name[0] = 'p';
	pax(&f, 'x', "path", name);
	add(&f, '0', "short", "2");
	add(&f, '0', "tail", "3");
	h = f.p + f.n - 2 * BLOCK;
	memset(part, 'd', sizeof(part));
	memcpy(h + 345, part, 155);
	sum(h);
	pax(&f, 'g', "comment", "of all");
	pax(&f, 'x', "mtime", "1.5");
	add(&f, '0', "z", "4");
	end(&f);
	snprintf(want, sizeof(want), "%.155s/tail=3 n%s=1 %s=2 z=4" NONE, part,
	    name + 1, name);
	has(&f, want);
	free(f.p);
}

T_CASE(sizes_of_pax_and_of_base_256_count)
{
	struct file f = {0};

	pax(&f, 'x', "size", "3");
	add(&f, '0', "a", "abc");
	f.p[2 * BLOCK + 124 + 10] = '0';        /* its own says less */
	sum(f.p + 2 * BLOCK);
	add(&f, '0', "b", "de");
	uint8_t *h = f.p + f.n - 2 * BLOCK;
	memset(h + 124, 0, 12);
	h[124] = 0x80;
	h[135] = 2;
	sum(h);
	end(&f);
	h = f.p + f.n - 4 * BLOCK;
	has(&f, "a=abc b=de" NONE);
	h[124] = 0xff;                  /* below zero */
	sum(h);
	bad(&f, "has no good size");
	h[124] = 0x80;
	h[127] = 1;                     /* 2^64 */
	sum(h);
	bad(&f, "has no good size");
	h[127] = 0;
	memset(h + 128, 0xff, 8);
	h[128] = 0x7f;                  /* just below 2^63 */
	sum(h);
	bad(&f, "its size is more than there can be");
	free(f.p);
}

T_CASE(the_later_of_two_files_of_one_path_is_meant)
{
	struct file f = {0};

	add(&f, '0', "a", "old");
	add(&f, '0', "b", "b");
	add(&f, '0', "./a", "new");
	end(&f);
	has(&f, "a=new b=b replaced 1 links 0 others 0");
	free(f.p);
}

T_CASE(hard_links_are_the_file_that_came_before_and_other_links_are_counted)
{
	struct file f = {0};

	add(&f, '0', "a", "one");
	put_member(&f, USTAR, '1', "b", "./a", "", 0);
	put_member(&f, USTAR, '1', "c", "b", "", 0);
	add(&f, '0', "a", "two");
	put_member(&f, USTAR, '1', "d", "a", "", 0);
	put_member(&f, USTAR, '1', "early", "later", "", 0);
	add(&f, '0', "later", "l");
	put_member(&f, USTAR, '1', "self", "self", "", 0);
	put_member(&f, USTAR, '1', "out", "../a", "", 0);
	put_member(&f, USTAR, '1', "root", "/a", "", 0);
	put_member(&f, USTAR, '2', "sym", "a", "", 0);
	put_member(&f, USTAR, '2', "../sym", "/etc/passwd", "", 0);
	put_member(&f, USTAR, '3', "dev", "", "", 0);
	put_member(&f, USTAR, '6', "pipe", "", "", 0);
	put_member(&f, USTAR, 'V', "volume", "", "", 0);
	end(&f);
	has(&f, "a=two b=one c=one d=two later=l replaced 1 links 6 others 3");
	free(f.p);
}

/* Links to links, as many as somebody likes, end. */
T_CASE(a_chain_of_links_is_not_followed_on_and_on)
{
	struct file f = {0};
	struct rk_why why = {0};
	struct format_tar *t;
	char name[16], link[16];

	add(&f, '0', "l00000", "x");
	for (int i = 1; i < 3000; i++) {
		snprintf(name, sizeof(name), "l%05d", i);
		snprintf(link, sizeof(link), "l%05d", i - 1);
		put_member(&f, USTAR, '1', name, link, "", 0);
	}
	end(&f);
	t_eq_int(parse(&f, &t, &why), RK_OK);
	t_eq_int(t->n + t->links, 3000);
	t_check(t->n > 3 && t->n < 100);
	format_tar_free(t);
	free(f.p);
}

T_CASE(paths_that_lead_out_of_the_archive_are_refused)
{
	bad_member('0', "../a", "x", "member 2 (from 1), \"../a\": its path "
	    "has ..");
	bad_member('0', "a/../b", "x", "has ..");
	bad_member('0', "a/..", "x", "has ..");
	bad_member('0', "/etc/passwd", "x", "its path is absolute");
	bad_member('5', "/", "", "its path is absolute");
	bad_member('0', ".", "x", "has no name");
	bad_member('1', "./.", "", "has no name");
}

T_CASE(sparse_files_are_refused)
{
	struct file f = {0};

	bad_member('S', "holes", "x", "is a file with holes");
	pax(&f, 'x', "GNU.sparse.major", "1");
	add(&f, '0', "holes", "x");
	end(&f);
	bad(&f, "\"holes\": is a file with holes");
	free(f.p);
}

T_CASE(headers_of_pax_that_are_no_good_are_refused)
{
	static const struct {
		const char *bytes, *words;
	} v[] = {
		{ "8 path=a\n", "pax header is no good" },
		{ "99 path=a\n", "pax header is no good" },
		{ "0 path=a\n", "pax header is no good" },
		{ "10 path=ab", "pax header is no good" },
		{ "8 patha\n", "pax header is no good" },
		{ "path=a\n", "pax header is no good" },
		{ "99999999999999999999999 path=a\n", "is no good" },
		{ "10 size=x\n", "no good size" },
		{ "8 size=\n", "no good size" },
		{ "28 size=9999999999999999999\n", "no good size" },
	};
	for (size_t i = 0; i < RK_ARRAY_LEN(v); i++)
		bad_member('x', "PaxHeaders/a", v[i].bytes, v[i].words);
	bad_member('g', "g", "8 path=a\n", "is no good");
}

T_CASE(what_is_said_of_all_files_cannot_be_a_path)
{
	struct file f = {0};

	pax(&f, 'g', "path", "everything");
	add(&f, '0', "a", "x");
	end(&f);
	bad(&f, "gives all that follow one path");
	free(f.p);
}

T_CASE(names_longer_than_are_taken_are_refused)
{
	struct file f = {0};
	char *name = xcalloc(1, 5001);

	memset(name, 'n', 5000);
	put_member(&f, GNU, 'L', "././@LongLink", "", name, 5001);
	add(&f, '0', "a", "x");
	end(&f);
	bad(&f, "longer than is taken");
	f.n = 0;
	pax(&f, 'x', "path", name);
	add(&f, '0', "a", "x");
	end(&f);
	bad(&f, "longer than is taken");
	f.n = 0;
	put_member(&f, GNU, 'L', "././@LongLink", "", "a\0b", 3);
	add(&f, '0', "a", "x");
	end(&f);
	bad(&f, "has a NUL inside");
	free(f.p);
	free(name);
}

T_CASE(an_archive_that_is_cut_damaged_or_no_tar_is_refused)
{
	struct file f = {0};

	add(&f, '0', "a", "abc");
	add(&f, '0', "b", "def");
	const size_t whole = f.n;
	end(&f);
	for (size_t n = 1; n < whole + BLOCK; n += 7) {
		const struct file cut = { f.p, n };
		bad(&cut, n < BLOCK ? "too short" : "cut off");
	}
	f.n = whole + BLOCK;            /* one block of zeros will do */
	has(&f, "a=abc b=def" NONE);
	f.p[2 * BLOCK + 3] ^= 1;
	bad(&f, "member 2 (from 1): its header is damaged");
	f.p[3] ^= 1;
	bad(&f, "is no tar");
	f.n = 0;
	bad(&f, "is empty, want a tar");
	put(&f, "\x1f\x8b\x08\0\0\0\0\0\0\3", 10);
	bad(&f, "is packed by gzip");
	f.n = 0;
	put(&f, "BZh91AY&SY\0\0\0\0", 14);
	bad(&f, "is no tar: it is compressed with bzip2, want a tar or one "
	    "compressed with gzip (.tar.gz)");
	f.n = 0;
	put(&f, "\xfd" "7zXZ\0\0\4", 8);
	bad(&f, "is no tar: it is compressed with xz, want");
	free(f.p);
}

T_CASE(an_archive_of_nothing_has_no_files)
{
	struct file f = {0};

	end(&f);
	put(&f, "what is behind does not matter", 30);
	has(&f, NONE);
	free(f.p);
}

T_CASE(files_are_read_in_place_and_one_that_was_cut_since_says_so)
{
	struct file f = {0};
	struct rk_why why = {0};
	struct format_tar *t;
	char out[8] = "";

	add(&f, '0', "a b/\xe7\x8c\xab.jpg", "0123456789");
	end(&f);
	FILE *w = fopen("a.tar", "wb");
	t_check(w != NULL && fwrite(f.p, 1, f.n, w) == f.n && fclose(w) == 0);
	t_eq_int(format_tar_open("a.tar", &t, &why), RK_OK);
	t_eq_int(t->n, 1);
	t_eq_int(t->files[0].offset, BLOCK);
	t_eq_int(format_tar_read(t, 0, 3, out, 4, &why), RK_OK);
	t_eq_str(out, "3456");
	t_eq_int(format_tar_find(t, "a b"), -1);
	t_check(truncate("a.tar", 515) == 0);
	t_eq_int(format_tar_read(t, 0, 3, out, 4, &why), RK_ECORRUPT);
	t_has(rk_why_first(&why), "\xe7\x8c\xab.jpg: the archive a.tar was cut "
	    "off since");
	rk_why_fini(&why);
	format_tar_free(t);
	t_eq_int(format_tar_open("b.tar", &t, &why), RK_ENOENT);
	t_has(rk_why_first(&why), "b.tar: ");
	rk_why_fini(&why);
	free(f.p);
}

/* Any byte may be another: nothing is read outside, and what is refused has one
 * sentence. */
T_CASE(a_flipped_byte_is_survived)
{
	struct file f = {0};

	pax(&f, 'x', "path", "p");
	add(&f, '0', "a", "abc");
	put_member(&f, GNU, 'L', "././@LongLink", "", "long", 5);
	put_member(&f, GNU, '1', "b", "p", "", 0);
	end(&f);
	for (size_t i = 0; i < f.n; i++) {
		uint8_t *p = xmalloc(f.n);
		struct rk_why why = {0};
		struct format_tar *t = NULL;
		memcpy(p, f.p, f.n);
		p[i] ^= 0x11;
		if (i % BLOCK < 148 || i % BLOCK > 155)
			sum(p + i / BLOCK * BLOCK);
		enum rk_err rc = format_tar_parse(p, f.n, "a.tar", &t, &why);
		t_check(rc == RK_OK ? why.n == 0 : t == NULL && why.n == 1);
		for (size_t k = 0; rc == RK_OK && k < t->n; k++)
			t_check(t->files[k].offset + t->files[k].size <= f.n);
		format_tar_free(t);
		rk_why_fini(&why);
		free(p);
	}
	free(f.p);
}

T_MAIN
