/* What a job could begin from: see candidate.h. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "candidate.h"

/* --- names ---------------------------------------------------------------- */

static void
take_classes(struct candidate *c, const json_t *names)
{
	const size_t n = json_array_size(names);
	const char **v = xcalloc(n + 1, sizeof(*v));

	c->names = json_incref((json_t *)(uintptr_t)names);
	for (size_t i = 0; i < n; i++)
		v[i] = json_string_value(json_array_get(names, i));
	c->classes = (struct warm_names){ v, (int64_t)n };
}

void
candidate_lines(char *text, struct warm_names *out)
{
	size_t n = text[0] != '\0', k = 0;

	for (const char *s = text; *s != '\0'; s++)
		n += *s == '\n' && s[1] != '\0';
	const char **v = xcalloc(n + 1, sizeof(*v));
	for (char *s = text; k < n; k++) {
		const size_t len = strcspn(s, "\n");
		v[k] = s;
		if (s[len] == '\0') {
			k++;
			break;
		}
		s[len] = '\0';
		s += len + 1;
	}
	*out = (struct warm_names){ v, (int64_t)k };
}

/* --- a list --------------------------------------------------------------- */

static bool
open_list(struct candidate *c, const json_t *description, struct rk_why *why)
{
	if (warm_list_read(description, &c->list, why) != RK_OK)
		return false;
	c->v = c->list.v;
	c->n = c->list.n;
	c->framework = c->list.framework;
	c->writer = c->list.writer;
	return true;
}

static bool
open_file(struct candidate *c, const char *path, struct rk_why *why)
{
	json_t *tree = NULL;
	char *text = NULL;
	size_t len;
	enum rk_err rc = rk_read_file(AT_FDCWD, path, RKJ_MAX_BYTES, &text,
	    &len);

	if (rc != RK_OK)
		rk_refuse(why, "cannot read its list of tensors: %s",
		    rk_strerror(rc));
	else
		rc = rkj_parse_json(text, len, &tree, why);
	const bool ok = rc == RK_OK && open_list(c, tree, why);
	json_decref(tree);
	free(text);
	return ok;
}

/* --- a job's checkpoint --------------------------------------------------- */

static void
read_spec(struct candidate *c, const char *checkpoints)
{
	const char *slash = strrchr(checkpoints, '/');
	char *path = xasprintf("%.*s/job.json", slash != NULL ?
	    (int)(slash - checkpoints) : 1, slash != NULL ? checkpoints :
	    ".");

	if (spec_load_normal(path, &c->spec, NULL) != RK_OK)
		c->spec = NULL;
	free(path);
}

static bool
choose(struct candidate *c, struct ckpt *in, struct rk_why *why)
{
	struct rk_why own = {0};

	c->selector = "best";
	bool ok = c->spec != NULL && ckpt_select(in, c->selector,
	    c->spec->checkpoint.metric, c->spec->checkpoint.mode_max,
	    &c->info, &own) == RK_OK;
	rk_why_fini(&own);
	if (!ok) {
		c->selector = "latest";
		ok = ckpt_select(in, c->selector, "", false, &c->info, why) ==
		    RK_OK;
	}
	if (!ok)
		c->selector = NULL;
	return ok;
}

static bool
open_set(struct candidate *c, const char *folder, struct rk_why *why)
{
	char *path = xasprintf("%s/%s", folder, c->info.dir);
	const bool ok = ckpt_load_model(path, &c->info, &c->set, why) == RK_OK;

	free(path);
	if (!ok)
		return false;
	c->file = warm_file_of(c->set);
	warm_file_is_ours(c->file);
	c->v = c->file->v;
	c->n = c->file->n;
	c->framework = c->file->framework;
	c->writer = c->file->writer;
	const char *tokens = warm_file_meta(c->file, VOCABULARY_META);
	c->vocabulary = tokens != NULL ? xstrdup(tokens) : NULL;
	if (c->info.classes != NULL)
		take_classes(c, c->info.classes);
	return true;
}

static bool
open_job(struct candidate *c, const char *folder, struct rk_why *why)
{
	struct ckpt *in = NULL;

	/* A folder that is not there would be made. */
	if (access(folder, R_OK | X_OK) != 0) {
		rk_refuse(why, "its checkpoints are not on this machine");
		return false;
	}
	read_spec(c, folder);
	if (ckpt_open(&in, folder, false) != RK_OK) {
		rk_refuse(why, "its checkpoints cannot be read");
		return false;
	}
	const bool ok = choose(c, in, why);
	ckpt_close(&in);
	return ok && open_set(c, folder, why);
}

/* --- both ----------------------------------------------------------------- */

bool
candidate_open(struct candidate *c, const struct warm_candidate *of,
    struct rk_why *why)
{
	*c = (struct candidate){0};
	const bool ok = of->checkpoints != NULL ? open_job(c, of->checkpoints,
	    why) : of->file != NULL ? open_file(c, of->file, why) :
	    open_list(c, of->description, why);

	if (ok && of->classes != NULL && c->names == NULL)
		take_classes(c, of->classes);
	if (ok && of->writer != NULL)
		c->writer = of->writer;
	if (ok && of->framework != WARM_UNKNOWN)
		c->framework = of->framework;
	if (ok && c->writer != NULL && strcmp(c->writer, "rekindle") == 0)
		c->framework = WARM_PYTORCH;
	return ok;
}

void
candidate_close(struct candidate *c)
{
	free((void *)(uintptr_t)c->classes.v);
	json_decref(c->names);
	free(c->vocabulary);
	warm_list_fini(&c->list);
	warm_file_free(c->file);
	tensor_set_free(c->set);
	ckpt_info_fini(&c->info);
	spec_free(c->spec);
	*c = (struct candidate){0};
}
