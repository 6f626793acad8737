/*
 * Files of weights, whoever wrote them: weights show, diff and convert.
 *
 * This program reads none of them.  It becomes the trainer, which has a process
 * of its own for that (rekindle-train --inspect); no daemon is asked, but for
 * what addresses lead to (weights_address.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

#define TRAINER "rekindle-train"
#define OPTIONS_MAX 12

static const struct verb {
	const char *name;
	int min, max;                   /* files */
	const char *option;             /* of the trainer, or NULL */
	const char *usage;
} verbs[] = {
	{ "show", 1, CLI_WORDS, NULL, "FILE... [--statistics] [--member NAME] "
	    "[--part PATH] [--json]" },
	{ "diff", 2, 2, "--diff", "A B [--member NAME] [--part PATH] "
	    "[--json]" },
	{ "convert", 1, 1, "--convert", "FILE --to safetensors|pdparams|pt "
	    "[-o OUT] [--arch ARCH | --job JOB.yaml | --as-is] "
	    "[--member NAME] [--part PATH] [--force]" },
};

static const struct verb *
find_verb(const char *name)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(verbs); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

static void
usage(void)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(verbs); i++)
		fprintf(stderr, "%s rekindle weights %s %s\n", i == 0 ?
		    "usage:" : "      ", verbs[i].name, verbs[i].usage);
}

/* How many bytes of a name come before what says its form. */
static size_t
stem_of(const char *name, size_t n)
{
	static const char *const long_ones[] = { ".safetensors.index.json",
		".gz" };

	for (size_t i = 0; i < RK_ARRAY_LEN(long_ones); i++) {
		const size_t k = strlen(long_ones[i]);
		if (n <= k || memcmp(name + n - k, long_ones[i], k) != 0)
			continue;
		n -= k;
		if (i == 0)
			return n;
	}
	const char *dot = memrchr(name, '.', n);
	return dot != NULL && dot > name ? (size_t)(dot - name) : n;
}

/* FILE.pdparams in place of FILE.pt, beside it; of an address here, and of a
 * file in an archive by that one's name. */
static char *
beside(const char *file, const char *to)
{
	const bool address = cli_is_address(file);
	struct rk_part part;

	if (rk_part_parse(&part, file, NULL) != RK_OK)
		return xasprintf("model.%s", to);       /* refused later */
	const char *bare = part.bare, *slash = strrchr(bare, '/');
	const int folder = address || slash == NULL ? 0 :
	    (int)(slash + 1 - bare);
	const char *name = slash != NULL ? slash + 1 : bare;
	if (part.member != NULL) {
		slash = strrchr(part.member, '/');
		name = slash != NULL ? slash + 1 : part.member;
	}
	size_t n = address && part.member == NULL ? strcspn(name, "?") :
	    strlen(name);
	n = stem_of(name, n);
	char *out = xasprintf("%.*s%.*s.%s", folder, bare, (int)(n > 0 ? n :
	    5), n > 0 ? name : "model", to);
	rk_part_fini(&part);
	return out;
}

/* False: said on standard error. */
static bool
where_to(const struct cli_args *a, char **to, char **out)
{
	static const char *const forms[] = { "safetensors", "pdparams", "pt" };
	const char *form = NULL;

	for (size_t i = 0; a->to != NULL && i < RK_ARRAY_LEN(forms); i++)
		if (strcmp(forms[i], a->to) == 0)
			form = forms[i];
	if (form == NULL) {
		fprintf(stderr, "rekindle: weights convert wants --to "
		    "safetensors, pdparams or pt%s%s\n", a->to != NULL ?
		    ", not " : "", a->to != NULL ? a->to : "");
		return false;
	}
	*out = a->out != NULL ? xstrdup(a->out) : beside(a->pos[1], form);
	*to = xasprintf("model.%s", form);
	return true;
}

/* A name that nobody said replaces no file, and none the file itself. */
static bool
may_write(const struct cli_args *a, const char *out)
{
	struct stat st, of;
	const bool there = lstat(out, &st) == 0;

	if (there && stat(out, &st) == 0 && stat(a->pos[1], &of) == 0 &&
	    st.st_dev == of.st_dev && st.st_ino == of.st_ino)
		fprintf(stderr, "rekindle: that would replace %s itself: say "
		    "-o OUT\n", out);
	else if (there && !a->force && a->out == NULL)
		fprintf(stderr, "rekindle: %s is there already: say -o OUT"
		    CLI_SAY_FORCE "\n", out);
	else
		return true;
	return false;
}

/* What goes with convert, behind its option; the number of words, 0:
 * refused. */
static int
words_to_convert(const struct cli_args *a, const char **argv, char **out)
{
	char *to;
	int n = 0;

	if (!where_to(a, &to, out))
		return 0;
	argv[n++] = a->pos[1];
	argv[n++] = "--to";
	argv[n++] = to;                 /* kept: this program is replaced */
	if (a->arch != NULL) {
		argv[n++] = "--arch";
		argv[n++] = a->arch;
	}
	if (a->as_is)
		argv[n++] = "--as-is";
	return n;
}

/* Its words, and for convert where to; those of the files are not options,
 * whatever they begin with.  0: refused. */
static int
words_of(const struct cli_args *a, const struct verb *v, const char **argv,
    char **out)
{
	const bool converts = strcmp(v->name, "convert") == 0;
	int n = 0;

	argv[n++] = TRAINER;
	if (!converts)
		argv[n++] = "--inspect";
	if (v->option != NULL)
		argv[n++] = v->option;
	if (!a->json && !converts)
		argv[n++] = "--table";
	if (a->statistics)
		argv[n++] = "--statistics";
	if (converts) {
		const int more = words_to_convert(a, argv + n, out);
		if (more == 0)
			return 0;
		n += more;
	}
	if (a->member != NULL) {
		argv[n++] = "--member";
		argv[n++] = a->member;
	}
	if (a->part != NULL) {
		argv[n++] = "--part";
		argv[n++] = a->part;
	}
	argv[n++] = "--";
	if (converts) {
		argv[n++] = *out;
		if (a->job != NULL)
			argv[n++] = a->job;
	}
	for (int i = 1; i < a->npos && !converts; i++)
		argv[n++] = a->pos[i];
	argv[n] = NULL;
	return n;
}

/* How many of the files are addresses. */
static int
addresses(const struct cli_args *a)
{
	int n = 0;

	for (int i = 1; i < a->npos; i++)
		n += cli_is_address(a->pos[i]);
	return n;
}

/* Each by itself; the exit code is that of the last that was refused. */
static enum cli_exit
show_addresses(const struct cli_args *a)
{
	enum cli_exit rc = CLI_OK;

	for (int i = 1; i < a->npos; i++) {
		const enum cli_exit one = cli_weights_address(a, a->pos[i]);
		if (one != CLI_OK)
			rc = one;
	}
	return rc;
}

/* The files behind addresses, for the trainer, in front of the words that argv
 * has from 1 on. */
static enum cli_exit
fetch_all(const struct cli_args *a, const char **argv)
{
	for (int i = 1; i < a->npos; i++) {
		char *place;
		int n = 1;
		if (!cli_is_address(a->pos[i]))
			continue;
		const enum cli_exit rc = cli_weights_fetch(a->pos[i], &place);
		if (rc != CLI_OK)
			return rc;
		while (argv[n] != NULL)
			n++;
		memmove(argv + 3, argv + 1, (size_t)n * sizeof(*argv));
		argv[1] = "--file";
		argv[2] = place;
	}
	return CLI_OK;
}

static enum cli_exit
become_trainer(const char **argv)
{
	char *trainer = rk_program_find(TRAINER);

	if (trainer == NULL) {
		fprintf(stderr, "rekindle: there is no " TRAINER " beside "
		    "rekindle, in ../libexec/rekindle or in PATH, and it reads "
		    "the files\n");
		return CLI_REFUSED;
	}
	execv(trainer, (char *const *)(uintptr_t)argv);
	fprintf(stderr, "rekindle: cannot start %s: %s\n", trainer,
	    strerror(errno));
	free(trainer);
	return CLI_REFUSED;
}

enum cli_exit
cmd_weights(const struct cli_args *a)
{
	const struct verb *v = find_verb(a->pos[0]);
	const char *argv[3 * CLI_WORDS + OPTIONS_MAX];
	char *out = NULL;

	if (v == NULL || a->npos - 1 < v->min || a->npos - 1 > v->max ||
	    (strcmp(v->name, "convert") != 0 && (a->to != NULL ||
	    a->out != NULL || a->arch != NULL || a->job != NULL ||
	    a->as_is || a->force))) {
		usage();
		return CLI_USAGE;
	}
	if (words_of(a, v, argv, &out) == 0)
		return CLI_USAGE;
	if (out != NULL && !may_write(a, out))
		return CLI_REFUSED;
	/* A trainer of the daemon's looks into what need not come here. */
	if (v->option == NULL && a->part == NULL &&
	    addresses(a) == a->npos - 1)
		return show_addresses(a);
	const enum cli_exit rc = fetch_all(a, argv);
	return rc == CLI_OK ? become_trainer(argv) : rc;
}
