/* A model file or a checkpoint's folder: see model_file.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "held_out.h"
#include "model_file.h"
#include "plan.h"
#include "predict.h"
#include "start.h"

#define CKPT_JSON "checkpoint.json"

static const char *
called(const struct model_file *m)
{
	return m->said != NULL ? m->said : m->file;
}

static bool
cannot(struct run *r, const struct model_file *m, const char *because)
{
	return run_fail(r, "warm_start", true, "%s %s: %s", m->deed,
	    called(m), because);
}

/* The checkpoint of most steps in the folder of a path, by its name; the caller
 * frees; NULL: there is none. */
static char *
newest_beside(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash != NULL ? xstrndup(path, (size_t)(slash + 1 -
	    path)) : xstrdup(".");
	DIR *d = opendir(folder);
	char *newest = NULL;

	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
		if (strncmp(e->d_name, "step-", 5) != 0 ||
		    (newest != NULL && strcmp(e->d_name, newest) <= 0))
			continue;
		free(newest);
		newest = xstrdup(e->d_name);
	}
	if (d != NULL)
		closedir(d);
	free(folder);
	return newest;
}

static bool
cannot_read(struct run *r, const struct model_file *m, const char *path)
{
	const int error = errno;
	char *reason = rk_why_unreadable(path, error);
	char *newest = error == ENOENT ? newest_beside(path) : NULL;

	if (newest != NULL) {
		char *alone = reason;
		reason = xasprintf("%s; the newest checkpoint beside it is %s",
		    alone, newest);
		free(alone);
	}
	cannot(r, m, reason);
	free(newest);
	free(reason);
	return false;
}

/* A checkpoint's folder: what it says of its model. */
static bool
read_folder(struct run *r, struct model_file *m)
{
	struct rk_why why = {0};
	char *json = xasprintf("%s/" CKPT_JSON, m->file), *text = NULL;
	size_t len;

	enum rk_err rc = rk_read_file(AT_FDCWD, json, CKPT_JSON_MAX, &text,
	    &len);
	if (rc == RK_ENOENT) {
		cannot(r, m, "is a folder without " CKPT_JSON ": want a model "
		    "file, or the folder of a checkpoint");
	} else if (rc != RK_OK) {
		cannot(r, m, rk_strerror(rc));
	} else {
		rc = ckpt_info_parse(text, len, NULL, &m->info, &why);
		m->is_checkpoint = rc == RK_OK;
		if (rc != RK_OK)
			cannot(r, m, why.n > 0 ? rk_why_first(&why) :
			    "its " CKPT_JSON " is damaged");
	}
	rk_why_fini(&why);
	free(text);
	free(json);
	m->path = xasprintf("%s/%s", m->file, ckpt_in_shards(&m->info) ?
	    CKPT_INDEX_FILE : CKPT_MODEL_FILE);
	return rc == RK_OK;
}

/* The bytes are those that the checkpoint was committed with. */
static bool
check_digest(struct run *r, const struct model_file *m, const char *xxh128)
{
	for (int k = 0; k < m->info.nfiles; k++) {
		const struct ckpt_file *f = &m->info.files[k];
		if (strcmp(f->name, CKPT_MODEL_FILE) == 0)
			return (f->xxh128[0] != '\0' ?
			    strcmp(f->xxh128, xxh128) :
			    strcmp(f->sha256, m->sha256)) == 0 ||
			    cannot(r, m, "its " CKPT_MODEL_FILE " is damaged: "
			    "the digest is not the one in " CKPT_JSON);
	}
	return cannot(r, m, "its " CKPT_JSON " names no " CKPT_MODEL_FILE);
}

/* Of a model of ours in shards. */
static bool
is_index(const struct model_file *m)
{
	const char *slash = strrchr(m->path, '/');

	return strcmp(slash != NULL ? slash + 1 : m->path, CKPT_INDEX_FILE) ==
	    0 && held_out_is_ours(m->path);
}

/* With what can be done about it: only a start of the job looks for copies. */
static bool
cannot_shard(struct run *r, const struct model_file *m,
    const struct ckpt_file *f, const char *reason)
{
	if (!ckpt_is_shared(f))
		return cannot(r, m, reason);
	char *s = xasprintf("%s; a resume of its job mends it, where another "
	    "job, the bucket or the cache has a copy", reason);

	(void)cannot(r, m, s);
	free(s);
	return false;
}

/* All parts are what the checkpoint was committed with; the digest is that of
 * the model file that they stand for. */
static bool
take_shards(struct run *r, struct model_file *m)
{
	bool ok = true;

	for (int k = 0; k < m->info.nfiles && ok; k++) {
		const struct ckpt_file *f = &m->info.files[k];
		struct rk_why why = {0};
		if (!ckpt_is_of_model(f))
			continue;
		char *path = xasprintf("%s/%s", m->file, f->name);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			ok = cannot_read(r, m, path);
		else if (ckpt_file_sums(fd, f, NULL, &why) != RK_OK)
			ok = cannot_shard(r, m, f, rk_why_first(&why));
		rk_close(&fd);
		rk_why_fini(&why);
		free(path);
	}
	if (ok)
		format_digests(r->warm->set, m->sha256, NULL, &m->bytes);
	return ok;
}

/* All of its bytes, also where a part of them is meant. */
static bool
take_digests(struct run *r, struct model_file *m, const char *path)
{
	char xxh128[RK_XXH128_HEX];
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return cannot_read(r, m, path);
	enum rk_err rc = rk_digests_of_fd(fd, m->sha256, xxh128, &m->bytes);
	rk_close(&fd);
	if (rc != RK_OK)
		return run_fail_rc(r, rc, path);
	return !m->is_checkpoint || check_digest(r, m, xxh128);
}

bool
model_file_open(struct run *r, struct model_file *m)
{
	char *bare = xstrndup(m->file, (size_t)(rk_part_of(m->file) -
	    m->file));
	struct stat st;
	bool ok = true;

	if (stat(bare, &st) != 0) {
		m->path = warm_file_index(bare);
		ok = m->path != NULL || cannot_read(r, m, bare);
	} else if (!S_ISDIR(st.st_mode)) {
		m->path = xstrdup(m->file);
	} else {
		ok = read_folder(r, m);
	}
	ok = ok && warm_open_path(r, m->path, m->deed) && (is_index(m) ?
	    take_shards(r, m) :
	    take_digests(r, m, m->is_checkpoint ? m->path : bare));
	free(bare);
	return ok;
}

bool
model_file_load(struct run *r, const struct model_file *m)
{
	struct rk_why why = {0};
	struct plan *p = NULL;
	const struct plan_how how = { .model = &r->spec->model,
		.whole = true };

	if (m->is_checkpoint)
		warm_file_is_ours(r->warm);
	bool ok = plan_new(&p, r->nn, r->warm, &how, &why) == RK_OK;

	if (!ok) {
		char *text = rk_why_text(&why);
		run_fail(r, "warm_start", true, "%s is not of the job's "
		    "network: %s", called(m), text);
		free(text);
	} else if (plan_apply(p, r->nn, r->spec->training.seed, &why) !=
	    RK_OK) {
		ok = run_fail(r, "warm_start", true, "%s %s: %s", m->deed,
		    called(m), rk_why_first(&why));
	}
	plan_free(p);
	rk_why_fini(&why);
	return ok;
}

/* The columns of the job's data are those of the checkpoint, which no
 * arithmetic would notice. */
static bool
check_columns(struct run *r, const struct model_file *m,
    const struct recipe *c)
{
	const struct data_set *const sets[] = { r->train, r->valid };
	struct rk_why why = {0};
	bool ok = true;

	for (int i = 0; ok && i < 2; i++)
		if (recipe_check_columns(c, sets[i], "the data of the "
		    "checkpoint", &why) != RK_OK)
			ok = run_fail(r, "bad_data", true, "%s %s: data.%s: %s",
			    m->deed, called(m), i == 0 ? "train" : "validation",
			    rk_why_first(&why));
	rk_why_fini(&why);
	return ok;
}

bool
model_file_normalize(struct run *r, const struct model_file *m)
{
	struct recipe c = {0};
	bool ok = true;

	if (m->is_checkpoint && recipe_of_checkpoint(&c, m->info.input)) {
		ok = check_columns(r, m, &c);
		recipe_impose(&c, r->train);
		recipe_impose(&c, r->valid);
	}
	recipe_fini(&c);
	return ok;
}

void
model_file_fini(struct model_file *m)
{
	ckpt_info_fini(&m->info);
	free(m->path);
}

json_t *
model_file_json(const struct run *r, const struct model_file *m)
{
	json_t *o = json_pack("{s:o, s:s, s:I, s:I}", "file",
	    js_text(m->file), "sha256", m->sha256, "bytes",
	    (json_int_t)m->bytes, "tensors", (json_int_t)nn_ntensors(r->nn));

	if (m->is_checkpoint)
		js_put(o, "checkpoint", json_pack("{s:s, s:I, s:I}", "dir",
		    m->info.dir, "step", (json_int_t)m->info.step, "epoch",
		    (json_int_t)m->info.epoch));
	return o;
}

json_t *
model_file_names(const struct run *r, const struct model_file *m)
{
	if (json_is_array(m->info.classes))
		return json_incref(m->info.classes);
	return r->train != NULL ? input_classes(r) : NULL;
}

void
model_file_warn(const struct model_file *m, int64_t bad, int64_t n)
{
	char some[RK_HUMAN], all[RK_HUMAN];

	if (bad > 0)
		fprintf(stderr, "rekindle-train: warning: %s: outputs of %s of "
		    "%s rows are not finite (NaN, or infinite), and nothing is "
		    "predicted of them\n", called(m), rk_group_digits(some, bad),
		    rk_group_digits(all, n));
}
