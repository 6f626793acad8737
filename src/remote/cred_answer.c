/*
 * Keys out of what files, programs and services say: JSON, XML, INI.
 *
 * All of it is from outside: bounded, and never repeated in a complaint, for a
 * malformed answer may hold a good key.  Only an error's own code and message
 * are passed on.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cred.h"

#define ID_MAX     256
#define SECRET_MAX 1024
#define SAID_MAX   200
#define WORDS_MAX  64

/* --- keys ---------------------------------------------------------------- */

/* Fit for a header: printable ASCII without blanks. */
static bool
fit(const char *s, size_t min, size_t max)
{
	size_t n = 0;

	for (; s[n] != '\0'; n++) {
		if (n >= max || (unsigned char)s[n] <= ' ' ||
		    (unsigned char)s[n] >= 0x7f)
			return false;
	}
	return n >= min;
}

struct cred *
cred_checked(const char *id, const char *secret, const char *token,
    const char *expires, char **why)
{
	int64_t at = 0;

	*why = NULL;
	if (id == NULL || *id == '\0')
		*why = xstrdup("there is no access key id");
	else if (secret == NULL || *secret == '\0')
		*why = xstrdup("there is no secret key");
	else if (!fit(id, 1, ID_MAX) || !fit(secret, 1, SECRET_MAX) ||
	    (token != NULL && !fit(token, 0, CRED_TOKEN_MAX)))
		*why = xstrdup("a key or token has a blank, or a character "
		    "that is not ASCII, or is too long");
	else if (expires != NULL && *expires != '\0' &&
	    !rk_time_parse(expires, &at))
		*why = xstrdup("the time of expiry is malformed");
	return *why == NULL ? cred_new(id, secret, token, at) : NULL;
}

/* --- JSON ---------------------------------------------------------------- */

static const char *
text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

/* "Code: message", or NULL if the answer is no complaint. */
static char *
complaint(const json_t *o)
{
	const char *code = text_of(o, "Code"), *text = text_of(o, "Message");

	if (*code == '\0' || strcmp(code, "Success") == 0)
		return NULL;
	char *s = xasprintf("it says %.*s%s%.*s",
	    (int)rk_text_fit(code, 64), code, *text != '\0' ? ": " : "",
	    (int)rk_text_fit(text, SAID_MAX), text);
	return rk_text_clean(s);
}

static struct cred *
of_object(const json_t *o, enum cred_form form, char **why)
{
	bool alibaba = form == FORM_ALIBABA || form == FORM_ALIBABA_STS;
	const char *secret = alibaba ? "AccessKeySecret" : "SecretAccessKey";
	const char *token = alibaba ? "SecurityToken" :
	    form == FORM_PROCESS ? "SessionToken" : "Token";

	if ((*why = complaint(o)) != NULL)
		return NULL;
	if (form == FORM_PROCESS &&
	    json_integer_value(json_object_get(o, "Version")) != 1) {
		*why = xstrdup("its Version is not 1");
		return NULL;
	}
	if (form == FORM_ALIBABA_STS)
		o = json_object_get(o, "Credentials");
	return cred_checked(text_of(o, "AccessKeyId"), text_of(o, secret),
	    text_of(o, token), text_of(o, "Expiration"), why);
}

struct cred *
cred_of_json(const char *p, size_t n, enum cred_form form, char **why)
{
	struct cred *c = NULL;
	json_t *o = NULL;

	*why = NULL;
	if (n > CRED_ANSWER_MAX || rkj_parse_json(p, n, &o, NULL) != RK_OK ||
	    !json_is_object(o))
		*why = xstrdup("the answer is no JSON object");
	else
		c = of_object(o, form, why);
	json_decref(o);
	return c;
}

/* --- XML ----------------------------------------------------------------- */

static void
wipe_free(char *s)
{
	if (s != NULL)
		rk_wipe(s, strlen(s));
	free(s);
}

struct cred *
cred_of_xml(const char *p, size_t n, char **why)
{
	char *code = NULL, *text = NULL, *v[4] = { NULL };
	static const char *const names[] = { "AccessKeyId", "SecretAccessKey",
	    "SessionToken", "Expiration" };
	struct cred *c = NULL;

	*why = NULL;
	if (n > CRED_ANSWER_MAX) {
		*why = xstrdup("the answer is too long");
		return NULL;
	}
	if ((code = xml_find(p, n, "Code")) != NULL) {
		text = xml_find(p, n, "Message");
		*why = rk_text_clean(xasprintf("it says %.*s: %.*s",
		    (int)rk_text_fit(code, 64), code, text != NULL ?
		    (int)rk_text_fit(text, SAID_MAX) : 0,
		    text != NULL ? text : ""));
	} else {
		for (int i = 0; i < 4; i++)
			v[i] = xml_find(p, n, names[i]);
		c = cred_checked(v[0], v[1], v[2], v[3], why);
	}
	free(code);
	free(text);
	for (int i = 0; i < 4; i++)
		wipe_free(v[i]);
	return c;
}

/* --- INI ----------------------------------------------------------------- */

/* A piece of a text. */
struct piece {
	const char *p;
	size_t n;
};

static bool
blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct piece
trim(const char *p, const char *end)
{
	while (p < end && blank(*p))
		p++;
	while (end > p && blank(end[-1]))
		end--;
	return (struct piece){ p, (size_t)(end - p) };
}

/* The next word of a section's name; a quoted one may have blanks. */
static struct piece
section_word(const char **p, const char *end)
{
	while (*p < end && blank(**p))
		(*p)++;
	if (*p < end && (**p == '"' || **p == '\'')) {
		char quote = *(*p)++;
		const char *from = *p;
		while (*p < end && **p != quote)
			(*p)++;
		size_t n = (size_t)(*p - from);
		*p += *p < end;
		return (struct piece){ from, n };
	}
	const char *from = *p;
	while (*p < end && !blank(**p))
		(*p)++;
	return (struct piece){ from, (size_t)(*p - from) };
}

/* Is "[ profile  "a b" ]" the section "profile a b"? */
static bool
is_section(struct piece line, const char *section)
{
	const char *end = memchr(line.p, ']', line.n), *p = line.p + 1;
	bool first = true;

	if (end == NULL)
		return false;
	for (;;) {
		struct piece w = section_word(&p, end);
		if (w.n == 0)
			return *section == '\0' && !first;
		if (!first && *section++ != ' ')
			return false;
		if (strncmp(section, w.p, w.n) != 0)
			return false;
		section += w.n;
		first = false;
	}
}

/* What is read of a file: where it stands, and the value that is sought. */
struct ini {
	const char *section, *key;
	enum { INI_ELSEWHERE, INI_INSIDE, INI_DEFAULTS } in;
	bool option;                    /* a line that is indented more than */
	size_t indent;                  /* this goes on with its value */
	bool wanted;                    /* it is the key's */
	bool there;                     /* the section is */
	char *found, *fallback;         /* in it; in [DEFAULT] */
};

static void
ini_section(struct ini *i, struct piece line)
{
	i->option = false;
	i->in = is_section(line, i->section) ? INI_INSIDE :
	    is_section(line, "DEFAULT") ? INI_DEFAULTS : INI_ELSEWHERE;
	i->there = i->there || i->in == INI_INSIDE;
}

static void
ini_option(struct ini *i, struct piece line)
{
	size_t n = 0;

	while (n < line.n && line.p[n] != '=' && line.p[n] != ':')
		n++;
	if (n == 0 || n == line.n)
		return;
	const struct piece name = trim(line.p, line.p + n);
	i->option = true;
	i->wanted = i->key != NULL && i->in != INI_ELSEWHERE &&
	    name.n == strlen(i->key) &&
	    strncasecmp(name.p, i->key, name.n) == 0;
	if (!i->wanted)
		return;
	const struct piece value = trim(line.p + n + 1, line.p + line.n);
	char **to = i->in == INI_INSIDE ? &i->found : &i->fallback;
	wipe_free(*to);
	*to = xstrndup(value.p, value.n);
}

static void
ini_more(struct ini *i, struct piece line)
{
	char **to = i->in == INI_INSIDE ? &i->found : &i->fallback;

	if (!i->wanted || strlen(*to) > CRED_VALUE_MAX)
		return;
	char *longer = xasprintf("%s\n%.*s", *to, (int)line.n, line.p);
	wipe_free(*to);
	*to = longer;
}

static void
ini_line(struct ini *i, const char *p, const char *end)
{
	const struct piece line = trim(p, end);
	const size_t indent = (size_t)(line.p - p);

	if (line.n == 0 || *line.p == '#' || *line.p == ';')
		return;
	if (i->option && indent > i->indent) {
		ini_more(i, line);
		return;
	}
	i->indent = indent;
	if (*line.p == '[')
		ini_section(i, line);
	else
		ini_option(i, line);
}

char *
ini_get(const char *text, const char *section, const char *key)
{
	struct ini i = { .section = section, .key = key };
	const char *p = text;

	if (strncmp(p, "\xef\xbb\xbf", 3) == 0)
		p += 3;
	for (const char *end; *p != '\0'; p = end + (*end != '\0')) {
		end = p + strcspn(p, "\r\n");
		ini_line(&i, p, end);
	}
	if (key == NULL && i.there)
		return xstrdup("");
	if (i.found != NULL || !i.there) {
		wipe_free(i.fallback);
		return i.found;
	}
	return i.fallback;
}

char *
ini_nested(const char *text, const char *section, const char *key,
    const char *sub)
{
	char *block = ini_get(text, section, key), *all = NULL, *found = NULL;

	if (block != NULL && block[0] == '\n') {
		all = xasprintf("[block]%s", block);
		found = ini_get(all, "block", sub);
	}
	wipe_free(block);
	wipe_free(all);
	return found;
}

/* --- command lines ------------------------------------------------------- */

void
words_free(char **words)
{
	for (char **w = words; w != NULL && *w != NULL; w++)
		free(*w);
	free(words);
}

/* One word from *p on, into b; false if a quote or a backslash stays open. */
static bool
word(const char **p, struct strbuf *b)
{
	char quote = '\0';

	for (; **p != '\0' && (quote != '\0' || !blank(**p)); (*p)++) {
		if (quote == '\0' && (**p == '"' || **p == '\'')) {
			quote = **p;
		} else if (quote != '\0' && **p == quote) {
			quote = '\0';
		} else if (**p == '\\' && quote != '\'' &&
		    (quote == '\0' || strchr("\"\\", (*p)[1]) != NULL)) {
			if (*++*p == '\0')
				return false;
			sb_addc(b, **p);
		} else {
			sb_addc(b, **p);
		}
	}
	return quote == '\0';
}

char **
words_of(const char *line)
{
	char **words = xcalloc(WORDS_MAX + 1, sizeof(*words));
	size_t n = 0;
	bool ok = true;

	for (const char *p = line; ok;) {
		while (blank(*p))
			p++;
		if (*p == '\0')
			break;
		struct strbuf b = {0};
		sb_adds(&b, "");
		ok = n < WORDS_MAX && word(&p, &b);
		if (ok)
			words[n++] = sb_detach(&b);
		sb_fini(&b);
	}
	if (ok && n > 0 && words[0][0] != '\0')
		return words;
	words_free(words);
	return NULL;
}
