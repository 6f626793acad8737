/* What can be seen from outside: where checkpoints stand, lists, numbers. */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

struct best {
	const char *dir;
	struct remote_row row;
	bool found;
};

/* The newest of that name: rows come newest first. */
static bool
take_first(void *ctx, const struct remote_row *r)
{
	struct best *b = ctx;

	if (strcmp(r->dir, b->dir) != 0 || r->state == RS_DELETING)
		return true;
	if (b->found && (b->row.state != RS_DROPPED || r->state == RS_DROPPED))
		return true;
	if (b->found)
		store_remote_fini(&b->row);
	row_copy(&b->row, r);
	b->found = true;
	return true;
}

static json_t *
text_or_null(const char *s)
{
	return s[0] != '\0' ? json_string(s) : json_null();
}

json_t *
ship_durability(struct ship *h, const char *job, const char *dir)
{
	struct best b = { .dir = dir };
	const struct push *p = NULL;
	char t[RK_TIME];
	json_t *o;

	must_be(h, SHIP_TAG);
	if (store_remotes(h->store, job, 0, take_first, &b) != RK_OK ||
	    !b.found)
		return json_pack("{s:s, s:n, s:n, s:n, s:n}", "state", "local",
		    "percent", "uri", "error", "verified_at");
	const struct remote_row *r = &b.row;
	p = push_find(h, r);
	const char *state = row_missing(r) ? "missing" :
	    r->state == RS_DROPPED ? "local" :
	    p != NULL && r->state == RS_QUEUED ? "uploading" :
	    remote_state_words[r->state];
	o = json_pack("{s:s}", "state", state);
	must(o != NULL);
	if (strcmp(state, "uploading") == 0) {
		uint64_t moved = p != NULL ? push_moved(p) : r->sent;
		json_object_set_new(o, "percent", json_integer(r->bytes == 0 ?
		    0 : (json_int_t)((double)RK_MIN(moved, r->bytes) * 100 /
		    (double)r->bytes)));
	} else {
		json_object_set_new(o, "percent", json_null());
	}
	json_object_set_new(o, "uri", RS_BIT(r->state) & RS_THERE ?
	    json_string(r->uri) : json_null());
	json_object_set_new(o, "error", text_or_null(r->error));
	json_object_set_new(o, "verified_at", r->verified_ms > 0 ?
	    json_string(rk_time_text(t, r->verified_ms)) : json_null());
	store_remote_fini(&b.row);
	return o;
}

enum rk_err
ship_remote_list(struct ship *h, const char *job, struct ckpt_info **v,
    char ***uris, size_t *n)
{
	struct rows rows;
	size_t *at;

	must_be(h, SHIP_TAG);
	rows_load(h, job, RS_THERE, &rows);
	rows_infos(&rows, v, &at, n);
	if (uris != NULL) {
		*uris = xcalloc(*n + 1, sizeof(**uris));
		for (size_t i = 0; i < *n; i++)
			(*uris)[i] = xstrdup(rows.v[at[i]].uri);
	}
	free(at);
	rows_fini(&rows);
	return RK_OK;
}

enum rk_err
ship_missing_list(struct ship *h, const char *job, struct ckpt_info **v,
    size_t *n)
{
	struct rows rows;
	size_t *at, kept = 0;

	must_be(h, SHIP_TAG);
	enum rk_err rc = rows_try(h, job, RS_BIT(RS_DROPPED), &rows);
	for (size_t i = 0; i < rows.n; i++) {
		if (row_missing(&rows.v[i]))
			rows.v[kept++] = rows.v[i];
		else
			store_remote_fini(&rows.v[i]);
	}
	rows.n = kept;
	rows_infos(&rows, v, &at, n);
	free(at);
	rows_fini(&rows);
	return rc;
}

enum rk_err
ship_there(struct ship *h, const char *job, const struct spec *spec,
    struct ckpt_info **v, size_t *n)
{
	struct rows rows, below = {0};
	size_t *at;

	must_be(h, SHIP_TAG);
	*v = NULL;
	*n = 0;
	enum rk_err rc = rows_try(h, job, RS_THERE, &rows);
	if (rc == RK_OK) {
		char *prefix = ship_prefix(h, spec);
		char *base = job_base(prefix, job);
		below.v = xcalloc(rows.n + 1, sizeof(*below.v));
		for (size_t i = 0; i < rows.n; i++) {
			if (prefix[0] != '\0' && starts_with(rows.v[i].uri,
			    base))
				below.v[below.n++] = rows.v[i];
		}
		rows_infos(&below, v, &at, n);
		free(below.v);          /* borrowed from rows */
		free(at);
		free(base);
		free(prefix);
	}
	rows_fini(&rows);
	return rc;
}

void
ship_uris_free(char **uris, size_t n)
{
	for (size_t i = 0; uris != NULL && i < n; i++)
		free(uris[i]);
	free(uris);
}

/* --- numbers ------------------------------------------------------------- */

static bool
take_newest(void *ctx, const struct remote_row *r)
{
	int64_t *created = ctx;

	*created = RK_MAX(*created, r->created_ms);
	return true;
}

double
ship_remote_age(struct ship *h, const char *job)
{
	int64_t created = -1;

	must_be(h, SHIP_TAG);
	if (store_remotes(h->store, job, RS_THERE, take_newest, &created) !=
	    RK_OK || created < 0)
		return -1;
	return (double)RK_MAX(now_ms() - created, 0) / 1000;
}

struct ids {
	struct running {
		char id[RK_ID];
		int64_t started_ms;
	} *v;
	size_t n;
};

static bool
take_job(void *ctx, const struct job_row *r)
{
	struct ids *ids = ctx;

	if (!sup_trains(r))             /* it has none to send */
		return true;
	ids->v = xrealloc(ids->v, (ids->n + 1) * sizeof(*ids->v));
	ids->v[ids->n].started_ms = r->started_ms;
	memcpy(ids->v[ids->n++].id, r->id, RK_ID);
	return true;
}

/* How far the bucket is behind a running job; -1: it goes to none. */
static double
age_of(struct ship *h, const struct running *r)
{
	double age = ship_remote_age(h, r->id);
	struct jobinfo j;

	if (age >= 0 || r->started_ms == 0 || !job_look(h, r->id, &j))
		return age;
	if (j.prefix[0] != '\0')
		age = (double)RK_MAX(now_ms() - r->started_ms, 0) / 1000;
	jobinfo_fini(&j);
	return age;
}

static bool
count_row(void *ctx, const struct remote_row *r)
{
	struct ship_stats *out = ctx;

	if (r->state == RS_QUEUED)
		out->queued++;
	else if (r->state == RS_UPLOADING)
		out->uploading++;
	else if (row_missing(r))
		out->missing++;
	if (r->error[0] != '\0' && r->state != RS_DROPPED)
		out->failed++;
	return true;
}

void
ship_stats(struct ship *h, struct ship_stats *out)
{
	struct store_filter f = { .states = 1u << JOB_RUNNING };
	struct ids ids = {0};

	must_be(h, SHIP_TAG);
	*out = (struct ship_stats){ .pushed = h->pushed,
		.verified = h->verified, .missed = h->missed,
		.pulled = h->pulled,
		.pushed_bytes = h->pushed_bytes,
		.pulled_bytes = h->pulled_bytes,
		.cache_bytes = h->cache_bytes, .cache_files = h->cache_files,
		.remote_age_seconds = -1 };
	(void)!store_remotes(h->store, NULL, RS_TO_DO | RS_BIT(RS_DROPPED),
	    count_row, out);
	(void)!store_jobs(h->store, &f, NULL, 10000, take_job, &ids);
	for (size_t i = 0; i < ids.n; i++)
		out->remote_age_seconds = RK_MAX(out->remote_age_seconds,
		    age_of(h, &ids.v[i]));
	free(ids.v);
}
