/* --evaluate: a model file or a checkpoint, scored on the job's data. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "epoch.h"
#include "start.h"
#include "summary.h"

#define CKPT_JSON "checkpoint.json"

struct evaluation {
	const char *file;               /* as it was given */
	char *path;                     /* the model's own file */
	char sha256[RK_SHA256_HEX];
	uint64_t bytes;
	struct ckpt_info info;          /* of a checkpoint's folder ... */
	bool is_checkpoint;             /* ... which it is */
	struct format_npy_out npy;
	char npy_sha256[RK_SHA256_HEX];
	struct score score;
};

/* --- the file ------------------------------------------------------------- */

static bool
cannot(struct run *r, const struct evaluation *e, const char *because)
{
	return run_fail(r, "warm_start", true, "cannot evaluate %s: %s",
	    e->file, because);
}

static bool
cannot_read(struct run *r, const struct evaluation *e, const char *path)
{
	char *reason = rk_why_unreadable(path, errno);

	cannot(r, e, reason);
	free(reason);
	return false;
}

/* A checkpoint's folder: what it says of its model. */
static bool
read_folder(struct run *r, struct evaluation *e)
{
	struct rk_why why = {0};
	char *json = xasprintf("%s/" CKPT_JSON, e->file), *text = NULL;
	size_t len;

	enum rk_err rc = rk_read_file(AT_FDCWD, json, CKPT_JSON_MAX, &text,
	    &len);
	if (rc == RK_ENOENT) {
		cannot(r, e, "is a folder without " CKPT_JSON ": want a model "
		    "file, or the folder of a checkpoint");
	} else if (rc != RK_OK) {
		cannot(r, e, rk_strerror(rc));
	} else {
		rc = ckpt_info_parse(text, len, NULL, &e->info, &why);
		e->is_checkpoint = rc == RK_OK;
		if (rc != RK_OK)
			cannot(r, e, why.n > 0 ? rk_why_first(&why) :
			    "its " CKPT_JSON " is damaged");
	}
	rk_why_fini(&why);
	free(text);
	free(json);
	e->path = xasprintf("%s/" CKPT_MODEL_FILE, e->file);
	return rc == RK_OK;
}

/* The bytes are those that the checkpoint was committed with. */
static bool
check_digest(struct run *r, const struct evaluation *e, const char *xxh128)
{
	for (int k = 0; k < e->info.nfiles; k++) {
		const struct ckpt_file *f = &e->info.files[k];
		if (strcmp(f->name, CKPT_MODEL_FILE) == 0)
			return (f->xxh128[0] != '\0' ?
			    strcmp(f->xxh128, xxh128) :
			    strcmp(f->sha256, e->sha256)) == 0 ||
			    cannot(r, e, "its " CKPT_MODEL_FILE " is damaged: "
			    "the digest is not the one in " CKPT_JSON);
	}
	return cannot(r, e, "its " CKPT_JSON " names no " CKPT_MODEL_FILE);
}

static bool
open_model(struct run *r, struct evaluation *e)
{
	char xxh128[RK_XXH128_HEX];
	struct stat st;

	if (stat(e->file, &st) != 0)
		return cannot_read(r, e, e->file);
	if (!S_ISDIR(st.st_mode))
		e->path = xstrdup(e->file);
	else if (!read_folder(r, e))
		return false;
	if (!warm_open_path(r, e->path, "cannot evaluate"))
		return false;
	int fd = open(e->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return cannot_read(r, e, e->path);
	enum rk_err rc = rk_digests_of_fd(fd, e->sha256, xxh128, &e->bytes);
	rk_close(&fd);
	if (rc != RK_OK)
		return run_fail_rc(r, rc, e->path);
	return !e->is_checkpoint || check_digest(r, e, xxh128);
}

/* All of it into the network, and nothing else. */
static bool
load(struct run *r, const struct evaluation *e)
{
	struct rk_why why = {0};
	struct plan *p = NULL;
	bool ok = plan_new(&p, r->nn, r->warm, true, &why) == RK_OK;

	if (!ok) {
		char *text = rk_why_text(&why);
		run_fail(r, "warm_start", true, "%s is not of the job's "
		    "network: %s", e->file, text);
		free(text);
	} else if (plan_apply(p, r->nn, r->spec->training.seed) != RK_OK) {
		ok = run_fail(r, "internal", true, "a tensor that the plan "
		    "converts could not be converted");
	}
	plan_free(p);
	rk_why_fini(&why);
	return ok;
}

/* --- the score ------------------------------------------------------------ */

static const struct data_set *
set_of(const struct run *r)
{
	return r->valid != NULL ? r->valid : r->train;
}

static bool
logits_failed(struct run *r, enum rk_err rc)
{
	char *deed = xasprintf("cannot write %s", r->o->logits);

	run_fail_rc(r, rc, deed);
	free(deed);
	return false;
}

static bool
score(struct run *r, struct evaluation *e)
{
	const struct data_set *d = set_of(r);
	struct tally t = {0};
	enum rk_err rc = RK_OK;

	if (r->o->logits != NULL)
		rc = format_npy_begin(&e->npy, r->o->logits, d->n,
		    nn_outputs(r->nn));
	for (int64_t at = 0; rc == RK_OK && at < d->n;) {
		const int64_t rows = score_batch(r, d, at, &t);
		if (r->o->logits != NULL)
			rc = format_npy_add(&e->npy, nn_output(r->nn), rows);
		if (signals_came())
			return run_fail(r, "io", false, "was told to end "
			    "before all samples were scored");
		at += rows;
	}
	if (rc == RK_OK && r->o->logits != NULL)
		rc = format_npy_end(&e->npy, e->npy_sha256);
	if (rc != RK_OK)
		return logits_failed(r, rc);
	e->score = run_score(r, &t);
	return true;
}

/* --- what is said --------------------------------------------------------- */

static json_t *
model_json(const struct run *r, const struct evaluation *e)
{
	json_t *o = json_pack("{s:o, s:s, s:I, s:I}", "file",
	    js_text(e->file), "sha256", e->sha256, "bytes",
	    (json_int_t)e->bytes, "tensors", (json_int_t)nn_ntensors(r->nn));

	if (e->is_checkpoint)
		js_put(o, "checkpoint", json_pack("{s:s, s:I, s:I}", "dir",
		    e->info.dir, "step", (json_int_t)e->info.step, "epoch",
		    (json_int_t)e->info.epoch));
	return o;
}

static json_t *
data_json(const struct run *r)
{
	const struct data_set *d = set_of(r);
	char hex[RK_SHA256_HEX];

	data_digest(d, hex);
	json_t *o = json_pack("{s:s, s:I, s:o, s:I, s:s}", "of",
	    d == r->valid ? "validation" : "train", "samples",
	    (json_int_t)d->n, "shape", shape_json(d->ndim, d->d), "classes",
	    (json_int_t)d->nclasses, "digest", hex);
	char *sentence = held_out_sentence(r);
	if (sentence != NULL)
		js_put(o, "summary", js_text(sentence));
	if (sentence != NULL && r->held.how.rule != DATA_SPLIT_NONE)
		js_put(o, "split", held_out_json(&r->held));
	free(sentence);
	return o;
}

static void
say(const struct run *r, const struct evaluation *e)
{
	json_t *o = json_pack("{s:s, s:o, s:o, s:I, s:o, s:I, s:I, s:o}",
	    "name", r->spec->name, "model", model_json(r, e),
	    "data", data_json(r), "samples", (json_int_t)set_of(r)->n,
	    "loss", js_number(e->score.loss),
	    "outputs", (json_int_t)nn_outputs(r->nn),
	    "batch_size", (json_int_t)r->batch,
	    "arithmetic", exact_arithmetic(r));

	must(o != NULL);
	if (e->score.has_accuracy)
		js_put(o, "accuracy", js_number(e->score.accuracy));
	if (r->o->logits != NULL)
		js_put(o, "logits", json_pack("{s:o, s:s}", "file",
		    js_text(r->o->logits), "sha256", e->npy_sha256));
	char *text = rkj_pretty(o);
	puts(text);
	free(text);
	json_decref(o);
}

bool
evaluate_print(struct run *r)
{
	struct evaluation e = { .file = r->o->evaluate, .npy = { .fd = -1 } };
	struct run_memory m;

	bool ok = open_model(r, &e);
	if (ok)
		exact_settle(r, e.is_checkpoint ? &e.info : NULL);
	ok = ok && run_open_data(r, NULL) && run_measure(r, &m) &&
	    run_build(r, &m) && load(r, &e);
	if (ok) {
		data_digest(r->train, r->data_digest);
		held_out_count(r);
		ok = score(r, &e);
	}
	if (ok)
		say(r, &e);
	format_npy_drop(&e.npy);
	ckpt_info_fini(&e.info);
	free(e.path);
	return ok;
}
