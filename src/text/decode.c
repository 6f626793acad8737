/*
 * Bytes to UTF-8.
 */
#include <errno.h>
#include <iconv.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"

const char *const text_encoding_words[] = {
	"utf-8", "latin-1", "gb18030", NULL
};

struct text_decoder {
	enum text_encoding e;
	iconv_t cd;                     /* of gb18030 */
};

enum rk_err
text_decoder_new(struct text_decoder **dp, enum text_encoding e,
    struct rk_why *why)
{
	struct text_decoder *d = xcalloc(1, sizeof(*d));

	d->e = e;
	d->cd = (iconv_t)-1;
	if (e == TEXT_GB18030) {
		d->cd = iconv_open("UTF-8", "GB18030");
		if (d->cd == (iconv_t)-1) {
			free(d);
			return rk_refuse(why, "the C library of this system "
			    "does not know the encoding gb18030 (iconv)");
		}
	}
	*dp = d;
	return RK_OK;
}

void
text_decoder_free(struct text_decoder *d)
{
	if (d == NULL)
		return;
	if (d->cd != (iconv_t)-1)
		iconv_close(d->cd);
	free(d);
}

static void
add_latin1(const unsigned char *s, size_t n, struct strbuf *out)
{
	for (size_t i = 0; i < n; i++) {
		if (s[i] < 0x80) {
			sb_addc(out, (char)s[i]);
			continue;
		}
		sb_addc(out, (char)(0xc0 | s[i] >> 6));
		sb_addc(out, (char)(0x80 | (s[i] & 0x3f)));
	}
}

static enum rk_err
add_by_iconv(iconv_t cd, const void *p, size_t n, struct strbuf *out,
    size_t *bad)
{
	char piece[4096], *from = (char *)(uintptr_t)p;
	size_t left = n, rc = 0;

	iconv(cd, NULL, NULL, NULL, NULL);
	while (left > 0) {
		char *to = piece;
		size_t room = sizeof(piece);
		rc = iconv(cd, &from, &left, &to, &room);
		sb_add(out, piece, sizeof(piece) - room);
		if (rc == (size_t)-1 && errno != E2BIG)
			break;
	}
	*bad = n - left;
	return left > 0 ? RK_EINVAL : RK_OK;
}

enum rk_err
text_decode(struct text_decoder *d, const void *p, size_t n,
    struct strbuf *out, size_t *bad)
{
	*bad = n;
	switch (d->e) {
	case TEXT_LATIN1:
		add_latin1(p, n, out);
		return RK_OK;
	case TEXT_GB18030:
		return add_by_iconv(d->cd, p, n, out, bad);
	case TEXT_UTF8:
		break;
	}
	*bad = rk_utf8_good(p, n);
	sb_add(out, p, *bad);
	return *bad == n ? RK_OK : RK_EINVAL;
}

size_t
text_mark(enum text_encoding e, const void *p, size_t n, const char **other)
{
	static const struct {
		const char *bytes;
		size_t n;
		const char *of;
	} marks[] = {
		{ "\xef\xbb\xbf", 3, "utf-8" },
		{ "\x84\x31\x95\x33", 4, "gb18030" },
		{ "\xff\xfe", 2, "UTF-16" },
		{ "\xfe\xff", 2, "UTF-16" },
	};

	*other = NULL;
	for (size_t i = 0; i < RK_ARRAY_LEN(marks); i++) {
		if (n < marks[i].n || memcmp(p, marks[i].bytes, marks[i].n) != 0)
			continue;
		if (strcmp(marks[i].of, text_encoding_words[e]) == 0)
			return marks[i].n;
		*other = marks[i].of;
	}
	return 0;
}
