/*
 * The headers of a tar: blocks of 512 bytes, numbers in octal text.
 *
 *	0 name 100       124 size 12      257 magic and version 8
 *	100 mode 8       136 time 12      265 owner, group, devices
 *	108, 116 ids     148 checksum 8   345 prefix 155 (of POSIX's magic
 *					  alone)
 *	                 156 type         157 link 100
 *
 * A size may be 63 bits in base 256 (GNU: the first bit is set).  Before a
 * header may be headers on it: of pax (types x, and g for all that follow) with
 * lines "LENGTH KEY=VALUE\n", and of GNU (L: its name, K: its link).
 */
#include <string.h>

#include "tar.h"

#define BLOCK      512
#define NAME_SHOWN 80

static enum rk_err
refuse(struct tar_walk *w, const char *what)
{
	return rk_refuse(w->why, "%s: member %llu (from 1): %s", w->in->what,
	    (unsigned long long)w->members, what);
}

static enum rk_err
refuse_path(struct tar_walk *w, const char *path, const char *what)
{
	return rk_refuse(w->why, "%s: member %llu (from 1), \"%.*s\": %s",
	    w->in->what, (unsigned long long)w->members,
	    (int)rk_text_fit(path, NAME_SHOWN), path, what);
}

/* --- bytes ---------------------------------------------------------------- */

static enum rk_err
read_all(struct tar_walk *w, void *dst, size_t n)
{
	size_t got;
	enum rk_err rc = format_source_read(w->in, dst, n, &got, w->why);

	if (rc != RK_OK)
		return rc;
	w->at += got;
	return got == n ? RK_OK : refuse(w, "the archive ends inside it: it is "
	    "cut off");
}

/* To a place that is not behind us. */
static enum rk_err
go_to(struct tar_walk *w, uint64_t place)
{
	uint64_t passed;

	must(place >= w->at);
	enum rk_err rc = format_source_pass(w->in, place - w->at, &passed,
	    w->why);
	if (rc != RK_OK)
		return rc;
	w->at += passed;
	return w->at == place ? RK_OK : refuse(w, "the archive ends inside it: "
	    "it is cut off");
}

/* --- fields --------------------------------------------------------------- */

/* Octal digits after spaces, up to a space, a NUL or the end; -1: none such. */
static int64_t
octal(const unsigned char *p, size_t n)
{
	int64_t v = 0;
	size_t i = 0, digits = 0;

	while (i < n && p[i] == ' ')
		i++;
	for (; i < n && p[i] >= '0' && p[i] <= '7'; i++, digits++) {
		if (v > INT64_MAX >> 3)
			return -1;
		v = v << 3 | (p[i] - '0');
	}
	if (i < n && p[i] != ' ' && p[i] != '\0')
		return -1;
	return digits > 0 ? v : -1;
}

static int64_t
number(const unsigned char *p, size_t n)
{
	uint64_t v = p[0] & 0x3f;

	if (p[0] < 0x80)
		return octal(p, n);
	if (p[0] & 0x40)                /* below zero */
		return -1;
	for (size_t i = 1; i < n; i++) {
		if (v >> 55 != 0)
			return -1;
		v = v << 8 | p[i];
	}
	return (int64_t)v;
}

/* The sum of all bytes with the checksum's own as spaces; of old programs, of
 * bytes with a sign. */
static bool
checksum_agrees(const unsigned char *h)
{
	const int64_t want = octal(h + 148, 8);
	int64_t plain = 0, with_sign = 0;

	for (size_t i = 0; i < BLOCK; i++) {
		const unsigned char c = i >= 148 && i < 156 ? ' ' : h[i];
		plain += c;
		with_sign += (signed char)c;
	}
	return want == plain || want == with_sign;
}

static bool
is_zero(const unsigned char *h)
{
	for (size_t i = 0; i < BLOCK; i++)
		if (h[i] != 0)
			return false;
	return true;
}

static void
add_field(struct strbuf *b, const unsigned char *p, size_t n)
{
	sb_add(b, p, strnlen((const char *)p, n));
}

/* --- headers on the next header ------------------------------------------- */

static enum rk_err
read_text(struct tar_walk *w, uint64_t size, struct strbuf *b)
{
	char piece[BLOCK];

	sb_reset(b);
	while (size > 0) {
		const size_t n = (size_t)RK_MIN(size, sizeof(piece));
		enum rk_err rc = read_all(w, piece, n);
		if (rc != RK_OK)
			return rc;
		sb_add(b, piece, n);
		size -= n;
	}
	return RK_OK;
}

static enum rk_err
check_text_size(struct tar_walk *w, uint64_t size, size_t most)
{
	return size <= most ? RK_OK : refuse(w, "its name, link or pax header "
	    "is longer than is taken");
}

/* A GNU name or link, with or without a NUL behind. */
static enum rk_err
read_long(struct tar_walk *w, uint64_t size, struct strbuf *b, bool *has)
{
	enum rk_err rc = check_text_size(w, size, FORMAT_TAR_PATH + 1);

	if (rc == RK_OK)
		rc = read_text(w, size, b);
	if (rc != RK_OK)
		return rc;
	const size_t n = strnlen(sb_str(b), b->len);
	for (size_t i = n; i < b->len; i++)
		if (b->s[i] != '\0')
			return refuse(w, "its name has a NUL inside");
	b->len = n;
	*has = true;
	return RK_OK;
}

static bool
key_is(const char *key, size_t n, const char *word)
{
	return strlen(word) == n && memcmp(key, word, n) == 0;
}

static enum rk_err
take_size(struct tar_walk *w, const char *v, size_t n)
{
	uint64_t size = 0;

	if (n == 0 || n > 18)
		return refuse(w, "its pax header has no good size");
	for (size_t i = 0; i < n; i++) {
		if (v[i] < '0' || v[i] > '9')
			return refuse(w, "its pax header has no good size");
		size = size * 10 + (uint64_t)(v[i] - '0');
	}
	w->size = size;
	w->has_size = true;
	return RK_OK;
}

/* A value of no bytes takes back what was said. */
static enum rk_err
take_name(struct tar_walk *w, const char *v, size_t n, struct strbuf *b,
    bool *has)
{
	if (n > FORMAT_TAR_PATH)
		return refuse(w, "its name is longer than is taken");
	if (memchr(v, '\0', n) != NULL)
		return refuse(w, "its name has a NUL inside");
	sb_reset(b);
	sb_add(b, v, n);
	*has = n > 0;
	return RK_OK;
}

static enum rk_err
take_pair(struct tar_walk *w, const char *key, size_t nkey, const char *v,
    size_t n)
{
	if (key_is(key, nkey, "path"))
		return take_name(w, v, n, &w->path, &w->has_path);
	if (key_is(key, nkey, "linkpath"))
		return take_name(w, v, n, &w->link, &w->has_link);
	if (key_is(key, nkey, "size"))
		return take_size(w, v, n);
	w->is_sparse = w->is_sparse || (nkey >= 10 &&
	    memcmp(key, "GNU.sparse", 10) == 0);
	return RK_OK;
}

/* "LENGTH KEY=VALUE\n", LENGTH counting all of it. */
static enum rk_err
take_line(struct tar_walk *w, const char **p, const char *end)
{
	const char *s = *p;
	size_t len = 0;

	while (s < end && *s >= '0' && *s <= '9' && len <= FORMAT_TAR_PAX)
		len = len * 10 + (size_t)(*s++ - '0');
	if (s == *p || s == end || *s != ' ' ||
	    len < (size_t)(s - *p) + 2 || len > (size_t)(end - *p) ||
	    (*p)[len - 1] != '\n')
		return refuse(w, "its pax header is no good");
	const char *key = s + 1, *last = *p + len - 1;
	const char *is = memchr(key, '=', (size_t)(last - key));
	if (is == NULL)
		return refuse(w, "its pax header is no good");
	*p += len;
	return take_pair(w, key, (size_t)(is - key), is + 1,
	    (size_t)(last - is - 1));
}

static enum rk_err
read_pax(struct tar_walk *w, uint64_t size)
{
	struct strbuf b = {0};
	enum rk_err rc = check_text_size(w, size, FORMAT_TAR_PAX);

	if (rc == RK_OK)
		rc = read_text(w, size, &b);
	const char *p = sb_str(&b), *end = p + b.len;
	while (rc == RK_OK && p < end)
		rc = take_line(w, &p, end);
	sb_fini(&b);
	return rc;
}

/* What is said of all members can be no path or size of one. */
static enum rk_err
read_global(struct tar_walk *w, uint64_t size)
{
	enum rk_err rc = read_pax(w, size);

	if (rc == RK_OK && (w->has_path || w->has_link || w->has_size))
		return refuse(w, "gives all that follow one path, link or "
		    "size");
	return rc;
}

static void
forget(struct tar_walk *w)
{
	w->has_path = w->has_link = w->has_size = w->is_sparse = false;
}

/* --- the member ----------------------------------------------------------- */

enum format_path
format_clean_path(char *path)
{
	char *out = path;
	const char *in = path;

	if (*in == '/')
		return FORMAT_PATH_ABSOLUTE;
	while (*in != '\0') {
		const size_t n = strcspn(in, "/");
		if (n == 2 && in[0] == '.' && in[1] == '.')
			return FORMAT_PATH_LEAVES;
		if (n > 0 && !(n == 1 && in[0] == '.')) {
			if (out != path)
				*out++ = '/';
			memmove(out, in, n);
			out += n;
		}
		in += n;
		in += *in == '/';
	}
	*out = '\0';
	return FORMAT_PATH_INSIDE;
}

/* The name as the header has it, where nothing before has said another. */
static void
own_names(struct tar_walk *w, const unsigned char *h)
{
	const bool posix = memcmp(h + 257, "ustar\0", 6) == 0;

	sb_reset(&w->own_path);
	if (w->has_path) {
		sb_add(&w->own_path, w->path.s, w->path.len);
	} else {
		if (posix && h[345] != '\0') {
			add_field(&w->own_path, h + 345, 155);
			sb_addc(&w->own_path, '/');
		}
		add_field(&w->own_path, h, 100);
	}
	sb_reset(&w->own_link);
	if (w->has_link)
		sb_add(&w->own_link, w->link.s, w->link.len);
	else
		add_field(&w->own_link, h + 157, 100);
}

/* Also what an old program means by a file whose name ends in a slash. */
static enum tar_kind
kind_of(unsigned char type, const struct strbuf *path)
{
	switch (type) {
	case '\0':
	case '0':
	case '7':
		return path->len > 0 && path->s[path->len - 1] == '/' ?
		    TAR_FOLDER : TAR_FILE;
	case '1':
		return TAR_HARD_LINK;
	case '2':
		return TAR_SYMBOLIC_LINK;
	case '5':
	case 'D':
		return TAR_FOLDER;
	default:
		return TAR_OTHER;
	}
}

/* Links, folders, devices and pipes have none, whatever their size says, as
 * GNU's and Python's tar have it; GNU's D has names. */
static bool
has_bytes(unsigned char type)
{
	return strchr("123456", type) == NULL || type == '\0';
}

static enum rk_err
take_member(struct tar_walk *w, const unsigned char *h, uint64_t size,
    struct tar_member *m)
{
	const unsigned char type = h[156];

	own_names(w, h);
	m->kind = kind_of(type, &w->own_path);
	m->offset = w->at;
	m->size = size;
	if (type == 'S' || w->is_sparse)
		return refuse_path(w, sb_str(&w->own_path), "is a file with "
		    "holes, whose bytes do not lie in the archive as they are: "
		    "pack it without --sparse");
	forget(w);
	if (m->kind == TAR_OTHER || m->kind == TAR_SYMBOLIC_LINK) {
		m->path = m->link = "";
		return RK_OK;
	}
	if (w->own_path.len > FORMAT_TAR_PATH)
		return refuse(w, "its name is longer than is taken");
	const enum format_path is = format_clean_path(w->own_path.s);
	if (is != FORMAT_PATH_INSIDE)
		return refuse_path(w, sb_str(&w->own_path),
		    is == FORMAT_PATH_ABSOLUTE ? "its path is absolute, want "
		    "one inside the archive" : "its path has .. in it, want "
		    "one inside the archive");
	m->path = sb_str(&w->own_path);
	if (m->path[0] == '\0' && m->kind != TAR_FOLDER)
		return refuse(w, "has no name");
	/* A link that leads out of the archive leads to nothing here. */
	m->link = m->kind == TAR_HARD_LINK &&
	    format_clean_path(w->own_link.s) == FORMAT_PATH_INSIDE ?
	    sb_str(&w->own_link) : "";
	return RK_OK;
}

/* What a file is that is no tar, by its first bytes; "": who knows. */
static const char *
other_kind(const unsigned char *h)
{
	static const struct {
		const char *first, *is;
		size_t n;
	} kinds[] = {
		{ "PK", ": it is a zip archive", 2 },
		{ "BZh", ": it is compressed with bzip2, want a tar or one "
		    "compressed with gzip (.tar.gz)", 3 },
		{ "\xfd" "7zXZ\0", ": it is compressed with xz, want a tar or "
		    "one compressed with gzip (.tar.gz)", 6 },
		{ "\x28\xb5\x2f\xfd", ": it is compressed with zstd, want a "
		    "tar or one compressed with gzip (.tar.gz)", 4 },
		{ "7z\xbc\xaf\x27\x1c", ": it is a 7z archive", 6 },
		{ "Rar!", ": it is a rar archive", 4 },
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(kinds); i++)
		if (memcmp(h, kinds[i].first, kinds[i].n) == 0)
			return kinds[i].is;
	return "";
}

/* A header that is there, or the end. */
static enum rk_err
read_header(struct tar_walk *w, unsigned char h[BLOCK])
{
	size_t got;
	enum rk_err rc = format_source_read(w->in, h, BLOCK, &got, w->why);

	if (rc != RK_OK)
		return rc;
	w->at += got;
	w->members++;
	if (w->members == 1 && got >= 8 && got < BLOCK &&
	    other_kind(h)[0] != '\0')
		return rk_refuse(w->why, "%s: is no tar%s", w->in->what,
		    other_kind(h));
	if (got < BLOCK)
		return rk_refuse(w->why, "%s: %s", w->in->what, w->at == 0 ?
		    "is empty, want a tar" : w->at < BLOCK ?
		    "is too short for a tar" : "ends without the blocks of "
		    "zeros that end a tar: it is cut off");
	w->ended = is_zero(h);
	if (w->ended)
		return RK_OK;
	if (!checksum_agrees(h) && w->members == 1)
		return rk_refuse(w->why, "%s: is no tar%s", w->in->what,
		    other_kind(h));
	if (!checksum_agrees(h))
		return refuse(w, "its header is damaged: the checksum is "
		    "another");
	return RK_OK;
}

enum rk_err
tar_next(struct tar_walk *w, struct tar_member *m)
{
	for (;;) {
		unsigned char h[BLOCK];
		enum rk_err rc = go_to(w, w->next);
		if (rc == RK_OK)
			rc = read_header(w, h);
		if (rc != RK_OK || w->ended)
			return rc;
		const unsigned char type = h[156];
		const int64_t said = number(h + 124, 12);
		if (said < 0 && !w->has_size && has_bytes(type))
			return refuse(w, "its header has no good size");
		const bool about = strchr("xgLK", type) != NULL && type != '\0';
		const uint64_t size = !has_bytes(type) ? 0 :
		    w->has_size && !about ? w->size : (uint64_t)said;
		if (size > INT64_MAX - w->at - BLOCK)
			return refuse(w, "its size is more than there can be");
		w->next = w->at + (size + BLOCK - 1) / BLOCK * BLOCK;
		switch (type) {
		case 'x':
			rc = read_pax(w, size);
			break;
		case 'g':
			rc = read_global(w, size);
			break;
		case 'L':
			rc = read_long(w, size, &w->path, &w->has_path);
			break;
		case 'K':
			rc = read_long(w, size, &w->link, &w->has_link);
			break;
		default:
			return take_member(w, h, size, m);
		}
		if (rc != RK_OK)
			return rc;
	}
}

void
tar_fini(struct tar_walk *w)
{
	sb_fini(&w->path);
	sb_fini(&w->link);
	sb_fini(&w->own_path);
	sb_fini(&w->own_link);
}
