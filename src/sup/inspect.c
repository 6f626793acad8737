/*
 * What a file of weights says that an address leads to.
 *
 * The bytes come as those of a job's address do, into the same cache; then a
 * trainer prints what is in them (rekindle-train --inspect), which no other
 * process of ours looks into.  check.c has the process.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "check.h"

enum rk_err
inspect_fetch(struct check *c, struct rk_why *why)
{
	char *path = NULL;

	if (c->here)
		return RK_OK;
	enum rk_err rc = c->s->up.fetch(c->s->up.ctx, c->row.id, c->address,
	    &path, why);

	if (rc == RK_OK)
		json_object_set_new(c->files, c->address, json_string(path));
	free(path);
	return rc;
}

const char *
inspect_path(const struct check *c)
{
	return json_string_value(json_object_get(c->files, c->address));
}

int
inspect_launch(struct check *c)
{
	const char *part = rk_part_of(c->address), *argv[8];

	if (c->form != NULL)
		return convert_launch(c);
	/* A whole file was held against its digest when it came. */
	const bool member = strncmp(part, "#member=", 8) == 0;
	char *path = xasprintf("%s%s", inspect_path(c), member ? part : "");
	int n = 0;

	argv[n++] = "--inspect";
	if (c->statistics)
		argv[n++] = "--statistics";
	argv[n++] = "--";
	argv[n++] = path;
	argv[n] = NULL;
	const int e = check_spawn(c, argv);
	free(path);
	return e;
}

char *
inspect_named(const struct check *c, const char *text)
{
	const char *path = inspect_path(c), *at;
	const char *part = rk_part_of(c->address);
	struct strbuf b = {0};

	while ((at = strstr(text, path)) != NULL) {
		sb_add(&b, text, (size_t)(at - text));
		sb_adds(&b, c->address);
		text = at + strlen(path);
		if (strncmp(text, part, strlen(part)) == 0)
			text += strlen(part);
	}
	sb_adds(&b, text);
	return sb_detach(&b);
}

static void
refuse(struct check *c, int status)
{
	char *words = check_last_words(c, status), *text = inspect_named(c, words);
	struct rk_why why = { 0 };

	rk_refuse_at(&why, "address", "%s", text);
	check_answer(c, RK_EINVAL, NULL, &why);
	rk_why_fini(&why);
	free(words);
	free(text);
}

/* It could be read, and so much is in it that an answer would not hold it. */
static void
refuse_long(struct check *c)
{
	char most[RK_HUMAN];
	struct rk_why why = { 0 };

	rk_refuse_at(&why, "address", "%s: what is said of its tensors takes "
	    "more than %s: look at the file itself, which `rekindle weights "
	    "show --part \"\" ADDRESS` gets", c->address,
	    rk_human_bytes(most, RKJ_MAX_BYTES));
	check_answer(c, RK_EINVAL, NULL, &why);
	rk_why_fini(&why);
}

void
inspect_ended(struct check *c, int status)
{
	const bool read = WIFEXITED(status) && WEXITSTATUS(status) == 0;

	if (c->form != NULL) {
		convert_ended(c, status);
		return;
	}
	if (read && c->bytes != NULL) {
		check_answer(c, RK_OK, NULL, NULL);
		return;
	}
	char *text = check_read(c, "out", RKJ_MAX_BYTES);
	json_t *said = NULL;

	if (read && text == NULL) {
		refuse_long(c);
		return;
	}

	if (text == NULL || rkj_parse_json(text, strlen(text), &said, NULL) !=
	    RK_OK || !json_is_array(json_object_get(said, "tensors"))) {
		refuse(c, status);
	} else {
		json_object_set_new(said, "path", json_string(c->address));
		check_answer(c, RK_OK, said, NULL);
	}
	json_decref(said);
	free(text);
}

int
inspect_bytes(const struct check *c)
{
	return c->form != NULL ? convert_bytes(c) :
	    open(inspect_path(c), O_RDONLY | O_CLOEXEC);
}

static enum rk_err
ask(struct sup *s, const char *address, sup_check_fn *fn, void *ctx,
    struct check **out, struct rk_why *why)
{
	char *own = xstrdup(address);

	must_be(s, SUP_TAG);
	enum rk_err rc = s->up.fetch != NULL ? spec_check_address(own, why) :
	    rk_refuse_at(why, "address", "is %s, which this daemon cannot "
	    "fetch: it was started without object stores", address);
	if (rc == RK_OK)
		rc = check_new(s, fn, ctx, out, why);
	if (rc == RK_OK)
		(*out)->address = own;
	else
		free(own);
	return rc;
}

enum rk_err
sup_inspect(struct sup *s, const char *address, bool statistics,
    sup_check_fn *fn, void *ctx, struct rk_why *why)
{
	struct check *c;
	const enum rk_err rc = ask(s, address, fn, ctx, &c, why);

	if (rc == RK_OK)
		c->statistics = statistics;
	return rc;
}

enum rk_err
sup_inspect_file(struct sup *s, const char *path, const char *called,
    sup_check_fn *fn, void *ctx, struct rk_why *why)
{
	struct check *c;

	must_be(s, SUP_TAG);
	const enum rk_err rc = check_new(s, fn, ctx, &c, why);
	if (rc == RK_OK) {
		c->address = xstrdup(called);
		c->here = true;
		json_object_set_new(c->files, called, json_string(path));
	}
	return rc;
}

enum rk_err
sup_weights(struct sup *s, const char *address, sup_weights_fn *fn, void *ctx,
    struct rk_why *why)
{
	struct check *c;
	const enum rk_err rc = ask(s, address, NULL, ctx, &c, why);

	if (rc == RK_OK)
		c->bytes = fn;
	return rc;
}
