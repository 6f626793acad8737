/*
 * Files of weights, whoever wrote them: weights show, weights diff.
 *
 * This program reads none of them.  It becomes the trainer, which has a process of
 * its own for that (rekindle-train --inspect); no daemon is asked.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#define TRAINER "rekindle-train"
#define OPTIONS_MAX 10

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

/* Its words; those of the files are not options, whatever they begin with. */
static int
words_of(const struct cli_args *a, const struct verb *v, const char **argv)
{
	int n = 0;

	argv[n++] = TRAINER;
	argv[n++] = "--inspect";
	if (v->option != NULL)
		argv[n++] = v->option;
	if (!a->json)
		argv[n++] = "--table";
	if (a->statistics)
		argv[n++] = "--statistics";
	if (a->member != NULL) {
		argv[n++] = "--member";
		argv[n++] = a->member;
	}
	if (a->part != NULL) {
		argv[n++] = "--part";
		argv[n++] = a->part;
	}
	argv[n++] = "--";
	for (int i = 1; i < a->npos; i++)
		argv[n++] = a->pos[i];
	argv[n] = NULL;
	return n;
}

enum cli_exit
cmd_weights(const struct cli_args *a)
{
	const struct verb *v = find_verb(a->pos[0]);
	const char *argv[CLI_WORDS + OPTIONS_MAX];

	if (v == NULL || a->npos - 1 < v->min || a->npos - 1 > v->max) {
		usage();
		return CLI_USAGE;
	}
	char *trainer = rk_program_find(TRAINER);
	if (trainer == NULL) {
		fprintf(stderr, "rekindle: there is no " TRAINER " beside "
		    "rekindle, in ../libexec/rekindle or in PATH, and it reads "
		    "the files\n");
		return CLI_REFUSED;
	}
	(void)words_of(a, v, argv);
	execv(trainer, (char *const *)(uintptr_t)argv);
	fprintf(stderr, "rekindle: cannot start %s: %s\n", trainer,
	    strerror(errno));
	free(trainer);
	return CLI_REFUSED;
}
