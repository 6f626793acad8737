/*
 * A version's files, for whoever wants to take them elsewhere: those of its
 * folder, and its model in the form that is asked for.
 *
 *	                         all are in the cache
 *	asked for ──▶ BRINGING ────────┬──▶ the file of the folder, as it lies
 *	                 │  ▲          ├──▶ a checkpoint, exported as it is sent
 *	                 └──┘          └──▶ a file of others, converted first
 *	               not yet
 *
 * Bytes come by way of the cache (ship_bring()), held against the record's
 * digests, for an id that is this request's and is given back with it.
 */
#include "impl.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "models.h"

#define FILES_MAX   CKPT_MAX_FILES
#define RECORD_FILE "checkpoint.json"
#define AGAIN_MS    50                  /* until ship is asked again */
#define AGAIN_MAX   1000
#define BRING_MS    (3600 * 1000)       /* for all of it */
#define ONE_MS      2000                /* how old the record may be */

struct version_file {
	struct req *q;
	char who[RK_ID];
	struct loop_timer *timer;
	int64_t since_ms, wait_ms;
	int64_t version;
	json_t *record;
	const char *form;               /* NULL: as it lies */
	char etag[40];
	struct sup_file files[FILES_MAX];       /* names of the record */
	char *paths[FILES_MAX];         /* NULL: not here yet */
	size_t n;
};

void
version_file_free(struct version_file **vp)
{
	struct version_file *v = *vp;

	*vp = NULL;
	if (v == NULL)
		return;
	ship_brought(v->q->api->ship, v->who);
	loop_timer_del(&v->timer);
	for (size_t i = 0; i < v->n; i++)
		free(v->paths[i]);
	json_decref(v->record);
	free(v);
}

static const json_t *
file_of(const json_t *record, const char *name)
{
	const json_t *files = json_object_get(record, "files");

	for (size_t i = 0; i < json_array_size(files); i++) {
		const json_t *f = json_array_get(files, i);
		const char *is = json_string_value(json_object_get(f, "name"));
		if (is != NULL && strcmp(is, name) == 0)
			return f;
	}
	return NULL;
}

static const char *
text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

/* --- what is sent --------------------------------------------------------- */

static void
send_file(struct version_file *v)
{
	struct req *q = v->q;
	const int fd = open(v->paths[0], O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0) {
		file_send(q, fd, (uint64_t)st.st_size, v->etag);
	} else {
		if (fd >= 0)
			close(fd);
		reply_problem(q, P_INTERNAL, "%s went from the cache as soon "
		    "as it was there: ask again", v->files[0].name);
	}
}

static void
converted(void *ctx, enum rk_err rc, int fd, const struct rk_why *why)
{
	struct req *q = ctx;
	struct stat st;

	must_be(q, REQ_TAG);
	q->checked = false;
	if (rc == RK_OK && fstat(fd, &st) != 0)
		rc = RK_EIO;
	if (rc == RK_OK) {
		file_send(q, fd, (uint64_t)st.st_size, q->version_file->etag);
	} else {
		rk_close(&fd);
		reply_err(q, rc, why, "file");
	}
	req_wake(q);
}

/* In the end a request that waits has an answer, or a process. */
static void
make(struct version_file *v)
{
	struct req *q = v->q;
	const json_t *spec = json_object_get(v->record, "spec");
	char *text = json_is_object(spec) ? rkj_text(spec) : NULL;
	const bool ours = file_of(v->record, RECORD_FILE) != NULL;
	enum rk_err rc;

	if (ours && text == NULL) {
		reply_problem(q, P_CONFLICT, "the record of version %lld does "
		    "not say of which network it is, so it cannot be given as "
		    "%s", (long long)v->version, v->form);
		return;
	}
	for (size_t i = 0; i < v->n; i++)
		v->files[i].path = v->paths[i];
	if (ours) {
		snprintf(q->etag, sizeof(q->etag), "\"%s\"", v->etag);
		rc = sup_export_files(q->api->sup, v->files, v->n, text,
		    v->form, file_from(q), download_begun, q, &q->exporting,
		    &q->why);
	} else {
		rc = sup_convert(q->api->sup, &v->files[0], text, v->form,
		    converted, q, &q->why);
		q->checked = rc == RK_OK;
	}
	if (rc != RK_OK)
		reply_err(q, rc, &q->why, "file");
	free(text);
}

/* --- bringing ------------------------------------------------------------- */

/* RK_EBUSY: not all are here. */
static enum rk_err
bring(struct version_file *v, struct rk_why *why)
{
	enum rk_err rc = RK_OK;

	for (size_t i = 0; i < v->n && (rc == RK_OK || rc == RK_EBUSY); i++) {
		struct rk_why own = { 0 };
		if (v->paths[i] != NULL)
			continue;
		char *uri = xasprintf("model://%s/%lld/%s", v->q->arg[0],
		    (long long)v->version, v->files[i].name);
		const enum rk_err one = ship_bring(v->q->api->ship, v->who,
		    uri, &v->paths[i], &own);
		if (one != RK_OK && one != RK_EBUSY && own.n > 0)
			rk_refuse(why, "%s", rk_why_first(&own));
		rc = one != RK_OK ? one : rc;
		rk_why_fini(&own);
		free(uri);
	}
	return rc;
}

static void
refuse(struct version_file *v, enum rk_err rc, const struct rk_why *why)
{
	struct req *q = v->q;
	const char *text = why->n > 0 ? rk_why_first(why) : rk_strerror(rc);

	/* The record has it, and the store has not. */
	if (rc == RK_ENOENT || rc == RK_ECORRUPT || rc == RK_EINVAL)
		reply_problem(q, P_CORRUPT, "%s", text);
	else if (rc == RK_ETIMEDOUT)
		reply_problem(q, P_STORE, "%s", text);
	else
		reply_err(q, rc, why, "file");
}

static void
step(void *ctx)
{
	struct version_file *v = ctx;
	struct req *q = v->q;
	struct rk_why why = { 0 };
	enum rk_err rc = bring(v, &why);

	if (rc == RK_EBUSY && ship_bring_silent(q->api->ship, v->who,
	    v->since_ms, &why))
		rc = RK_ETIMEDOUT;
	if (rc == RK_EBUSY && mono_ms() - v->since_ms > BRING_MS) {
		rk_refuse(&why, "%s was not fetched within an hour",
		    v->files[0].name);
		rc = RK_ETIMEDOUT;
	}
	if (rc == RK_EBUSY) {
		v->wait_ms = RK_MIN(v->wait_ms * 2, AGAIN_MAX);
		loop_timer_at(v->timer, mono_ms() + v->wait_ms);
	} else if (rc != RK_OK) {
		refuse(v, rc, &why);
	} else if (v->form != NULL) {
		make(v);
	} else {
		send_file(v);
	}
	rk_why_fini(&why);
	if (q->status != 0)
		req_wake(q);
}

static void
begin(struct version_file *v)
{
	rk_id_new(v->who);
	v->since_ms = mono_ms();
	v->wait_ms = AGAIN_MS / 2;
	v->timer = loop_timer_add(v->q->api->loop, step, v);
	loop_timer_at(v->timer, mono_ms());
	req_wait(v->q);
}

/* --- which ---------------------------------------------------------------- */

static void
want(struct version_file *v, const char *name)
{
	if (v->n < FILES_MAX)
		v->files[v->n++].name = name;
}

/* All that the model is made of: a checkpoint's files, or the one of others. */
static void
want_model(struct version_file *v)
{
	const json_t *files = json_object_get(v->record, "files");
	const bool ours = file_of(v->record, RECORD_FILE) != NULL;

	for (size_t i = 0; i < json_array_size(files); i++) {
		const json_t *e = json_array_get(files, i);
		struct ckpt_file f = { 0 };
		snprintf(f.name, sizeof(f.name), "%s", text_of(e, "name"));
		if (ours ? ckpt_is_of_model(&f) || strcmp(f.name,
		    RECORD_FILE) == 0 : strcmp(text_of(e, "sha256"),
		    text_of(v->record, "digest")) == 0 && v->n == 0)
			want(v, text_of(e, "name"));
	}
}

/* A form of the model; the optimizer's state is as it lies, or not there. */
static const char *
form_of(const char *name)
{
	const enum ckpt_form f = ckpt_form_of(name);

	if (f == CKPT_FORMS || f == CKPT_PDOPT || f == CKPT_OPTIMIZER_PT ||
	    strcmp(ckpt_form_files[f], name) != 0)
		return NULL;
	return ckpt_form_files[f];
}

static void
refuse_name(struct version_file *v)
{
	const json_t *files = json_object_get(v->record, "files");
	struct strbuf b = { 0 };

	for (size_t i = 0; i < json_array_size(files); i++)
		sb_addf(&b, "%s, ", text_of(json_array_get(files, i), "name"));
	reply_problem(v->q, P_NOT_FOUND, "version %lld of model %s has no file "
	    "%s; there is %sand the model as model.pdparams, model.pt and "
	    "model.safetensors", (long long)v->version, v->q->arg[0],
	    v->q->arg[2], sb_str(&b));
	sb_fini(&b);
}

/* The same record gives the same bytes, with this version of rekindle. */
static bool
client_has_it(struct version_file *v, const json_t *file)
{
	struct req *q = v->q;
	const char *m = req_header(q, "If-None-Match");

	if (file != NULL)
		snprintf(v->etag, sizeof(v->etag), "%.32s", text_of(file,
		    "sha256"));
	else
		snprintf(v->etag, sizeof(v->etag), "%.16s-%d-"
		    REKINDLE_VERSION, text_of(v->record, "digest"),
		    (int)ckpt_form_of(v->form));
	if (m == NULL || strstr(m, v->etag) == NULL)
		return false;
	snprintf(q->etag, sizeof(q->etag), "\"%s\"", v->etag);
	reply_empty(q, 304);
	return true;
}

static void
look(struct version_file *v)
{
	struct req *q = v->q;
	const char *name = q->arg[2];
	const json_t *file = file_of(v->record, name);

	if (json_is_true(json_object_get(v->record, "deleted"))) {
		reply_problem(q, P_NOT_FOUND, "version %lld of model %s was "
		    "deleted (%s); its record is kept, its files are not",
		    (long long)v->version, q->arg[0], text_of(v->record,
		    "deleted_at"));
		return;
	}
	v->form = file == NULL ? form_of(name) : NULL;
	if (file == NULL && v->form == NULL) {
		refuse_name(v);
	} else if (!client_has_it(v, file)) {
		if (file != NULL)
			want(v, text_of(file, "name"));
		else
			want_model(v);
		begin(v);
	}
}

static void
version_file_then(struct req *q)
{
	struct version_file *v = q->version_file = xcalloc(1, sizeof(*v));
	struct rk_why why = { 0 };

	v->q = q;
	if (!req_version(q, &v->version))
		return;
	const enum rk_err rc = models_version(q->api->models, q->arg[0],
	    v->version, &v->record, &why);
	if (!models_lacks(q, rc, &why, "version"))
		look(v);
	rk_why_fini(&why);
}

void
h_version_file(struct req *q)
{
	models_first(q, true, ONE_MS, version_file_then);
}
