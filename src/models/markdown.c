/* Text that is not ours, in Markdown. */
#include <stdlib.h>
#include <string.h>

#include "markdown.h"

/* What means something anywhere in a line. */
#define SPECIAL "\\`*_[]<>|&~$!"
/* What begins a block where a line begins; and what does behind digits there. */
#define AT_FIRST "#+-="
#define BEHIND_DIGITS ".)"

/* With what is needed within a line; begins: it begins one. */
static void
put_clean(struct strbuf *b, const char *s, bool begins)
{
	const char *first = s + strspn(s, "0123456789");
	const char *block = first == s ? AT_FIRST : BEHIND_DIGITS;

	for (const char *p = s; *p != '\0'; p++) {
		const bool link = (*p == ':' && strncmp(p, "://", 3) == 0) ||
		    (*p == '.' && p - s >= 3 && strncmp(p - 3, "www", 3) == 0);
		if (strchr(SPECIAL, *p) != NULL || link ||
		    (begins && p == first && strchr(block, *p) != NULL))
			sb_addc(b, '\\');
		sb_addc(b, *p);
	}
}

static void
put_text(struct strbuf *b, const char *s, bool begins)
{
	char *clean = rk_text_clean(xstrdup(s));

	put_clean(b, clean + strspn(clean, " "), begins);
	free(clean);
}

void
md_text(struct strbuf *b, const char *s)
{
	put_text(b, s, false);
}

/* The longest run of backticks. */
static size_t
ticks_in(const char *s)
{
	size_t most = 0, n;

	for (; *s != '\0'; s += n + (n == 0)) {
		n = strspn(s, "`");
		most = RK_MAX(most, n);
	}
	return most;
}

void
md_code(struct strbuf *b, const char *s, bool in_table)
{
	char *clean = rk_text_clean(xstrdup(s));
	const size_t ticks = ticks_in(clean) + 1;
	/* One blank on either side is taken off by the reader. */
	const char *pad = ticks > 1 || *clean == '\0' || *clean == ' ' ? " " :
	    "";

	for (size_t i = 0; i < ticks; i++)
		sb_addc(b, '`');
	sb_adds(b, pad);
	for (const char *p = clean; *p != '\0'; p++)
		sb_addf(b, "%s%c", in_table && *p == '|' ? "\\" : "", *p);
	sb_adds(b, pad);
	for (size_t i = 0; i < ticks; i++)
		sb_addc(b, '`');
	free(clean);
}

void
md_quote(struct strbuf *b, const char *s)
{
	while (*s != '\0') {
		const size_t n = strcspn(s, "\n");
		char *line = xstrndup(s, n);
		sb_adds(b, "> ");
		put_text(b, line, true);
		sb_addc(b, '\n');
		free(line);
		s += n + (s[n] == '\n');
		/* Two lines are two lines. */
		if (*s != '\0')
			sb_adds(b, ">\n");
	}
}
