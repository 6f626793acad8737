/*
 * What a file of weights gives, for tests from outside: format_drive FILE...
 * prints a line of JSON a file, its tensors with the digest of their elements as
 * read, or {"refused": sentence}; at the end the most memory that it had, in kB.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rekindle/format_weights.h"
#include "t.h"

#define PIECE ((size_t)64 << 10)

static void
put_text(const char *s)
{
	if (s == NULL) {
		printf("null");
		return;
	}
	putchar('"');
	for (; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\')
			putchar('\\');
		putchar(*s);
	}
	putchar('"');
}

/* The digest of all elements, by pieces of an odd size; NULL after a refusal. */
static bool
digest(const struct weights_tensor *t, char hex[RK_SHA256_HEX],
    struct rk_why *why)
{
	const size_t size = dtype_bits(t->dtype) / 8;
	struct rk_sha256 *sha = rk_sha256_new();
	unsigned char *buf = xmalloc(PIECE * size);
	enum rk_err rc = RK_OK;

	for (uint64_t at = 0; rc == RK_OK && at < t->count;) {
		const size_t n = RK_MIN(PIECE - 1, t->count - at);
		rc = weights_read(t, at, n, buf, why);
		rk_sha256_add(sha, buf, n * size);
		at += n;
	}
	free(buf);
	rk_sha256_end(sha, hex);
	return rc == RK_OK;
}

static bool
put_tensor(const struct weights_tensor *t, struct rk_why *why)
{
	char hex[RK_SHA256_HEX], shape[TENSOR_SHAPE_TEXT];

	if (!digest(t, hex, why))
		return false;
	printf("{\"name\":");
	put_text(t->name);
	printf(",\"path\":");
	put_text(t->path);
	printf(",\"alias\":");
	put_text(t->alias);
	printf(",\"of\":");
	put_text(t->of);
	printf(",\"slot\":");
	put_text(t->slot);
	printf(",\"role\":\"%s\",\"lie\":\"%s\",\"dtype\":\"%s\",\"shape\":%s,"
	    "\"same_as\":%" PRId64 ",\"sha256\":\"%s\"}",
	    weights_role_words[t->role], weights_lie_words[t->lie],
	    dtype_name(t->dtype), tensor_shape_text(shape, t->ndim, t->d),
	    t->same_as, hex);
	return true;
}

static void
put_value(const struct weights_value *v)
{
	put_text(v->path);
	if (v->kind == WEIGHTS_TEXT) {
		putchar(':');
		put_text(v->text);
	} else if (v->kind == WEIGHTS_NONE) {
		printf(":null");
	} else {
		printf(":%.17g", v->f);
	}
}

static void
put_all(const struct weights *w)
{
	struct rk_why why = {0};

	printf("{\"format\":\"%s\",\"framework\":\"%s\",\"model\":",
	    weights_format_words[w->format],
	    weights_framework_words[w->framework]);
	put_text(w->model);
	printf(",\"optimizer\":");
	put_text(w->optimizer);
	printf(",\"notes\":[");
	for (size_t i = 0; i < w->nnotes; i++) {
		printf("%s", i > 0 ? "," : "");
		put_text(w->notes[i]);
	}
	printf("],\"values\":{");
	for (size_t i = 0; i < w->nvalues; i++) {
		printf("%s", i > 0 ? "," : "");
		put_value(&w->values[i]);
	}
	printf("},\"tensors\":[");
	for (size_t i = 0; i < w->n; i++) {
		printf("%s", i > 0 ? "," : "");
		if (!put_tensor(&w->v[i], &why)) {
			put_text(rk_why_first(&why));
			break;
		}
	}
	printf("]}\n");
	rk_why_fini(&why);
}

/* Of this program alone: what wait4(2) says has the caller's before exec. */
static void
put_peak(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	long kb;

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "VmHWM: %ld", &kb) == 1)
			printf("%ld\n", kb);
	if (f != NULL)
		fclose(f);
}

__attribute__((constructor)) static void
drive_main(int argc, char **argv)
{
	if (argc < 2)
		return;
	for (int i = 1; i < argc; i++) {
		struct rk_why why = {0};
		struct weights *w;
		if (weights_open(argv[i], NULL, &w, &why) == RK_OK) {
			put_all(w);
		} else {
			printf("{\"refused\":");
			put_text(rk_why_first(&why));
			printf("}\n");
		}
		weights_free(w);
		rk_why_fini(&why);
	}
	put_peak();
	fflush(stdout);
	_exit(0);
}

T_CASE(a_file_that_is_not_there_is_refused)
{
	struct rk_why why = {0};
	struct weights *w;

	t_eq_int(weights_open("absent.pt", NULL, &w, &why), RK_ENOENT);
	t_check(w == NULL);
	rk_why_fini(&why);
}

T_MAIN
