/* Where something lies: file paths, job://, model://, and addresses that others
 * fetch. */
#include <stdlib.h>
#include <string.h>

#include "rekindle/base.h"

#define URI_MAX 4096

static bool
is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Length of "scheme" in "scheme:...", 0 if s does not begin so. */
static size_t
scheme_length(const char *s)
{
	size_t n = 0;

	if (!is_alpha(s[0]))
		return 0;
	while (is_alpha(s[n]) || is_digit(s[n]) || s[n] == '+' ||
	    s[n] == '-' || s[n] == '.')
		n++;
	return s[n] == ':' ? n : 0;
}

static int
hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* %41 becomes A, in place.  False for %zz, and for %00: no path has a NUL. */
static bool
percent_decode(char *s)
{
	char *to = s;

	for (; *s != '\0'; s++) {
		if (*s != '%') {
			*to++ = *s;
			continue;
		}
		int hi = hex_value(s[1]);
		int lo = hi < 0 ? -1 : hex_value(s[2]);
		if (lo < 0 || (hi == 0 && lo == 0))
			return false;
		*to++ = (char)(hi << 4 | lo);
		s += 2;
	}
	*to = '\0';
	return true;
}

/* "//host/path" to host and path, the slash between belonging to neither. */
static void
split_host(struct rk_uri *u, const char *rest)
{
	size_t n = strcspn(rest, "/");

	u->host = xstrndup(rest, n);
	u->path = xstrdup(rest[n] == '/' ? rest + n + 1 : "");
}

static enum rk_err
parse_file(struct rk_uri *u, const char *rest, struct rk_why *why)
{
	if (strncmp(rest, "//", 2) == 0) {
		rest += 2;
		size_t n = strcspn(rest, "/");
		if (n > 0 && !(n == 9 && strncmp(rest, "localhost", n) == 0))
			return rk_refuse(why, "names the host \"%.*s\": a "
			    "file: address is of this machine, as in "
			    "file:///data/best.safetensors", (int)n, rest);
		rest += n;
	}
	if (rest[0] != '/')
		return rk_refuse(why, "\"file:%s\" is not an absolute path: "
		    "write file:///absolute/path, or the path alone", rest);
	u->path = xstrdup(rest);
	if (!percent_decode(u->path))
		return rk_refuse(why, "has a %% that two hexadecimal digits "
		    "(other than 00) do not follow; a %% itself is %%25");
	return RK_OK;
}

/* What may be asked for of a job: a checkpoint's name, or step:N. */
static bool
selector_ok(const char *s)
{
	if (strncmp(s, "step:", 5) == 0)
		return is_digit(s[5]) && strlen(s + 5) <= 18 &&
		    strspn(s + 5, "0123456789") == strlen(s + 5);
	return rk_name_ok(s);
}

static enum rk_err
parse_job(struct rk_uri *u, const char *rest, struct rk_why *why)
{
	if (strncmp(rest, "//", 2) == 0) {
		split_host(u, rest + 2);
		if (rk_name_ok(u->host) && selector_ok(u->path))
			return RK_OK;
	}
	return rk_refuse(why, "\"job:%s\" is not of the form "
	    "job://ID/CHECKPOINT, where CHECKPOINT is latest, best, step:N or "
	    "a checkpoint's name", rest);
}

/* Names of models and aliases begin with a letter or a digit. */
static bool
model_name_ok(const char *s)
{
	return rk_name_ok(s) && s[0] != '_';
}

/* A version's number, as we write it. */
static bool
number_ok(const char *s)
{
	return s[0] != '0' && s[0] != '\0' && strlen(s) <= 18 &&
	    strspn(s, "0123456789") == strlen(s);
}

static bool
alias_ok(const char *s)
{
	return model_name_ok(s) && strspn(s, "0123456789") < strlen(s);
}

static enum rk_err
parse_model(struct rk_uri *u, const char *rest, struct rk_why *why)
{
	const size_t n = strncmp(rest, "//", 2) == 0 ?
	    strcspn(rest + 2, "@/") : 0;
	const char *at = rest + 2 + n;

	u->kind = RK_URI_MODEL;
	if (n > 0 && *at != '\0') {
		u->host = xstrndup(rest + 2, n);
		u->path = xstrdup(at + 1);
		if (model_name_ok(u->host) && (*at == '@' ?
		    alias_ok(u->path) : number_ok(u->path)))
			return RK_OK;
	}
	return rk_refuse(why, "\"model:%.200s\" is not of the form "
	    "model://NAME@ALIAS or model://NAME/N, where N is the number of a "
	    "version", rest);
}

static enum rk_err
parse_other(struct rk_uri *u, const char *rest, struct rk_why *why)
{
	u->kind = RK_URI_OTHER;
	if (strncmp(rest, "//", 2) == 0 && rest[2] != '\0' && rest[2] != '/') {
		split_host(u, rest + 2);
		return RK_OK;
	}
	return rk_refuse(why, "\"%s:%s\" names no %s: want %s://...",
	    u->scheme, rest, u->scheme[0] == 'h' ? "host" : "bucket",
	    u->scheme);
}

static enum rk_err
parse_scheme(struct rk_uri *u, const char *s, size_t n, struct rk_why *why)
{
	const char *rest = s + n + 1;

	u->scheme = xstrndup(s, n);
	for (char *c = u->scheme; *c != '\0'; c++) {
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	}
	if (strcmp(u->scheme, "file") == 0)
		return parse_file(u, rest, why);
	if (strcmp(u->scheme, "job") == 0) {
		u->kind = RK_URI_JOB;
		return parse_job(u, rest, why);
	}
	if (strcmp(u->scheme, "model") == 0)
		return parse_model(u, rest, why);
	static const char *const others[] = { "https", "http", "s3", "oss" };
	for (size_t i = 0; i < RK_ARRAY_LEN(others); i++) {
		if (strcmp(u->scheme, others[i]) == 0)
			return parse_other(u, rest, why);
	}
	return rk_refuse(why, "\"%s:\" is not an address that we know: want a "
	    "path, file:, job:, https:, http:, s3:, oss: or model: (a file "
	    "whose name has a colon is written ./%s)", u->scheme, s);
}

enum rk_err
rk_uri_parse(struct rk_uri *u, const char *s, struct rk_why *why)
{
	enum rk_err rc;

	*u = (struct rk_uri){ .kind = RK_URI_FILE };
	if (s[0] == '\0')
		return rk_refuse(why, "is empty, want a path or an address");
	if (strnlen(s, URI_MAX + 1) > URI_MAX)
		return rk_refuse(why, "is longer than %d bytes", URI_MAX);
	for (const char *c = s; *c != '\0'; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return rk_refuse(why, "has a control character (byte "
			    "%d)", (unsigned char)*c);
	}
	size_t n = scheme_length(s);
	if (n > 0) {
		rc = parse_scheme(u, s, n, why);
	} else {
		u->scheme = xstrdup("file");
		u->path = xstrdup(s);
		rc = RK_OK;
	}
	if (rc != RK_OK)
		rk_uri_fini(u);
	return rc;
}

void
rk_uri_fini(struct rk_uri *u)
{
	free(u->scheme);
	free(u->host);
	free(u->path);
	*u = (struct rk_uri){0};
}
