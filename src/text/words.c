/*
 * Text to words, as text.h says.
 *
 * A word longer than TEXT_MAX_WORD is known to be too long and kept to that
 * length, so that no text takes more memory than another.
 */
#include <string.h>

#include "impl.h"

struct splitter {
	const struct text_options *o;
	word_fn *fn;
	void *ctx;
	struct word w;
	bool more;                      /* the caller wants more */
};

static void
begin(struct splitter *p)
{
	p->w.n = 0;
	p->w.at[0] = 0;
	p->w.too_long = false;
}

static void
end(struct splitter *p)
{
	if (p->w.n > 0 && p->more)
		p->more = p->fn(p->ctx, &p->w);
	begin(p);
}

static void
append(struct splitter *p, uint32_t c)
{
	struct word *w = &p->w;

	if (w->n == TEXT_MAX_WORD) {
		w->too_long = true;
		return;
	}
	const size_t at = w->at[w->n];
	w->at[++w->n] = (uint16_t)(at + uc_write(c, w->s + at));
}

/* A character as it is after accents and capitals. */
static void
place(struct splitter *p, uint32_t c, bool alone)
{
	if (!alone) {
		append(p, c);
		return;
	}
	end(p);
	append(p, c);
	end(p);
}

static void
take_lower(struct splitter *p, uint32_t c, bool alone)
{
	uint32_t low[UC_MOST];
	const int n = p->o->lower_case ? uc_lower(c, low) : 1;

	if (!p->o->lower_case)
		low[0] = c;
	for (int i = 0; i < n; i++)
		place(p, low[i], alone || uc_class(low[i]) == UC_PUNCT);
}

static void
take(struct splitter *p, uint32_t c)
{
	const enum uc_class is = uc_class(c);
	uint32_t bare[UC_MOST];
	int n = 1;

	if (is == UC_DROP)
		return;
	if (is == UC_SPACE) {
		end(p);
		return;
	}
	bare[0] = c;
	if (p->o->strip_accents)
		n = uc_strip(c, bare);
	for (int i = 0; i < n; i++)
		take_lower(p, bare[i], is == UC_HAN);
}

/* Letters and digits of ASCII, which most of most texts are. */
static bool
take_plain(struct splitter *p, unsigned char c)
{
	const bool big = c >= 'A' && c <= 'Z';

	if (!big && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9'))
		return false;
	append(p, big && p->o->lower_case ? c + ('a' - 'A') : c);
	return true;
}

void
words_of(const struct text_options *o, const char *s, size_t n, word_fn *fn,
    void *ctx)
{
	struct splitter p;
	size_t i = 0, len;

	p.o = o;
	p.fn = fn;
	p.ctx = ctx;
	p.more = true;
	begin(&p);
	while (i < n && p.more) {
		len = 1;
		if (!take_plain(&p, (unsigned char)s[i]))
			take(&p, uc_read(s + i, &len));
		i += len;
	}
	end(&p);
}
