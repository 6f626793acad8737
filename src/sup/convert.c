/* A file of weights as another framework's: rekindle-train --convert, whose file
 * is gone with the answer, which holds it open. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "check.h"

static char *
path_in(const struct check *c, const char *name)
{
	return xasprintf("%s/%s", c->dir, name);
}

/* The job whose names it gets, as a file in the check's folder. */
static char *
put_spec(const struct check *c)
{
	int dir = open(c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const bool put = dir >= 0 && rk_replace_file(dir, "job.json",
	    c->form_spec, strlen(c->form_spec)) == RK_OK;

	rk_close(&dir);
	return put ? path_in(c, "job.json") : NULL;
}

int
convert_launch(struct check *c)
{
	const char *argv[10];
	char *out = path_in(c, "made");
	char *job = c->form_spec != NULL ? put_spec(c) : NULL;
	int n = 0, e = EIO;

	argv[n++] = "--convert";
	argv[n++] = inspect_path(c);
	argv[n++] = "--to";
	argv[n++] = c->form;
	argv[n++] = out;
	if (job != NULL)
		argv[n++] = job;
	argv[n] = NULL;
	if (c->form_spec == NULL || job != NULL)
		e = check_spawn(c, argv);
	free(job);
	free(out);
	return e;
}

int
convert_bytes(const struct check *c)
{
	char *out = path_in(c, "made");
	const int fd = open(out, O_RDONLY | O_CLOEXEC);

	free(out);
	return fd;
}

void
convert_ended(struct check *c, int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		check_answer(c, RK_OK, NULL, NULL);
		return;
	}
	char *words = check_last_words(c, status);
	char *text = inspect_named(c, words);
	check_answer_text(c, RK_ECONFLICT, text);
	free(words);
	free(text);
}

enum rk_err
sup_convert(struct sup *s, const struct sup_file *of, const char *spec,
    const char *file, sup_weights_fn *fn, void *ctx, struct rk_why *why)
{
	struct check *c;

	must_be(s, SUP_TAG);
	const enum rk_err rc = check_new(s, NULL, ctx, &c, why);
	if (rc != RK_OK)
		return rc;
	c->bytes = fn;
	c->address = xstrdup(of->name);
	c->here = true;
	json_object_set_new(c->files, c->address, json_string(of->path));
	c->form = xstrdup(file);
	c->form_spec = spec != NULL ? xstrdup(spec) : NULL;
	return RK_OK;
}
