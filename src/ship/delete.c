/*
 * Remote checkpoints on their way out.
 *
 * The row is DELETING before anything is deleted, so that a daemon that is
 * killed goes on with it.  checkpoint.json goes first: from then on it does not
 * exist.  Files follow that no other checkpoint of the job refers to, wherever
 * they are; remote.json is last, and says until then whose folder it is.  One
 * that says something else than our row is not ours, and is left alone.
 *
 * With a guard (see ship.h) a batch is what was DELETING before the question;
 * any trouble ends the batch, and the next one asks again.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define GUARD_KEY "(guard)"

struct deletion {
	struct ship *h;
	bool asking, stopped;
	struct rows rows;
	size_t i;                       /* the row that is on its way out */
	struct uploads uploads;         /* of it */
	char **uris;
	size_t nuris, at;
	struct remote_op *op;
};

static void next_row(struct deletion *d);
static void next_object(struct deletion *d);

/* --- uploads that we know ------------------------------------------------ */

static bool
take_upload(void *ctx, const struct upload_row *u)
{
	struct uploads *all = ctx;
	struct upload_row *to;

	if ((all->n & (all->n - 1)) == 0)
		all->v = xrealloc(all->v, RK_MAX(all->n * 2, (size_t)1) *
		    sizeof(*all->v));
	to = &all->v[all->n++];
	*to = *u;
	to->uri = xstrdup(u->uri);
	to->upload_id = xstrdup(u->upload_id);
	to->dir = xstrdup(u->dir);
	to->file = xstrdup(u->file);
	return true;
}

void
uploads_load(struct ship *h, struct uploads *out)
{
	*out = (struct uploads){0};
	enum rk_err rc = store_uploads(h->store, take_upload, out);
	if (rc != RK_OK)
		log_error("ship: cannot read the uploads: %s",
		    rk_strerror(rc));
}

void
uploads_fini(struct uploads *u)
{
	for (size_t i = 0; i < u->n; i++)
		store_upload_fini(&u->v[i]);
	free(u->v);
	*u = (struct uploads){0};
}

/* --- the batch ----------------------------------------------------------- */

static void
free_uris(struct deletion *d)
{
	for (size_t i = 0; i < d->nuris; i++)
		free(d->uris[i]);
	free(d->uris);
	d->uris = NULL;
	d->nuris = d->at = 0;
	uploads_fini(&d->uploads);
}

static void
free_deletion(struct deletion *d)
{
	d->h->deletion = NULL;
	remote_cancel(&d->op);
	free_uris(d);
	rows_fini(&d->rows);
	free(d);
}

/* While the guard has a question of ours, this is what it answers to. */
void
delete_stop(struct ship *h)
{
	if (h->deletion == NULL)
		return;
	h->deletion->stopped = true;
	if (!h->deletion->asking)
		free_deletion(h->deletion);
}

void
delete_fini(struct ship *h)
{
	if (h->deletion != NULL)
		free_deletion(h->deletion);
}

bool
delete_row(struct ship *h, struct remote_row *r, const char *why)
{
	enum remote_state was = r->state;

	r->state = RS_DELETING;
	if (!row_save(h, r)) {
		r->state = was;
		return false;
	}
	log_info("job=%s ship: %s goes (%s)", r->job, r->uri, why);
	queue_kick(h);
	return true;
}

static char *
delete_key(const struct remote_row *row)
{
	char *prefix = prefix_of_uri(row->uri);
	char *key = xasprintf("delete %s", prefix);

	free(prefix);
	return key;
}

/* Said once for all below a prefix. */
static void
fail(struct deletion *d, const struct remote_result *r)
{
	struct ship *h = d->h;
	const struct remote_row *row = &d->rows.v[d->i];
	char *key = delete_key(row);

	if (trouble_of(h, key, false) == NULL)
		log_warn("job=%s ship: cannot delete %s: %s; tried again until "
		    "it works", row->job, row->uri, r->error);
	trouble_add(h, key);
	free(key);
	free_deletion(d);
	queue_kick(h);
}

static void
row_done(struct deletion *d)
{
	struct remote_row *row = &d->rows.v[d->i];
	char *key = delete_key(row);

	trouble_over(d->h, key);
	free(key);
	(void)row_drop(d->h, row);
	free_uris(d);
	d->i++;
	next_row(d);
}

/* --- one row ------------------------------------------------------------- */

static void
add_uri(struct deletion *d, char *uri)
{
	if ((d->nuris & (d->nuris - 1)) == 0)
		d->uris = xrealloc(d->uris, RK_MAX(d->nuris * 2, (size_t)1) *
		    sizeof(*d->uris));
	d->uris[d->nuris++] = uri;
}

/* Does a checkpoint but own have this object?  One that is on its way out, too,
 * counts as long as its row is there: others may still see it. */
static bool
referred(const struct rows *rows, const struct remote_row *own,
    const char *uri)
{
	struct rfiles f;
	bool found = false;

	for (size_t i = 0; i < rows->n && !found; i++) {
		const struct remote_row *r = &rows->v[i];
		if (strcmp(r->uri, own->uri) == 0 ||
		    (r->state == RS_DELETING && r->remote_ms == 0))
			continue;
		rfiles_parse(&f, rows->v[i].files);
		for (int k = 0; k < f.n; k++)
			found = found || strcmp(f.v[k].uri, uri) == 0;
		rfiles_fini(&f);
	}
	return found;
}

static void
gather(struct deletion *d)
{
	const struct remote_row *row = &d->rows.v[d->i];
	struct uploads all;
	struct rows live;
	struct rfiles f;

	add_uri(d, xasprintf("%scheckpoint.json", row->uri));
	rows_load(d->h, row->job, RS_TO_DO | RS_THERE | RS_BIT(RS_DELETING),
	    &live);
	rfiles_parse(&f, row->files);
	for (int k = 0; k < f.n; k++) {
		if (!referred(&live, row, f.v[k].uri))
			add_uri(d, xstrdup(f.v[k].uri));
	}
	rfiles_fini(&f);
	rows_fini(&live);
	for (size_t k = 0; k < SHIP_HISTORIES; k++)
		add_uri(d, xasprintf("%s%s", row->uri, ship_histories[k]));
	add_uri(d, xasprintf("%snames.json", row->uri));
	add_uri(d, xasprintf("%sremote.json", row->uri));
	uploads_load(d->h, &all);
	for (size_t k = 0; k < all.n; k++) {
		if (starts_with(all.v[k].uri, row->uri))
			(void)take_upload(&d->uploads, &all.v[k]);
	}
	uploads_fini(&all);
}

static void
aborted(void *ctx, const struct remote_result *r)
{
	struct deletion *d = ctx;

	d->op = NULL;
	if (r->end != REMOTE_OK && r->end != REMOTE_MISSING) {
		fail(d, r);
		return;
	}
	(void)!store_upload_drop(d->h->store, d->uploads.v[--d->uploads.n].uri);
	store_upload_fini(&d->uploads.v[d->uploads.n]);
	next_object(d);
}

static void
deleted(void *ctx, const struct remote_result *r)
{
	struct deletion *d = ctx;

	d->op = NULL;
	if (r->end != REMOTE_OK && r->end != REMOTE_MISSING) {
		fail(d, r);
		return;
	}
	d->at++;
	next_object(d);
}

static void
next_object(struct deletion *d)
{
	struct remote_patience pt = push_patience();

	if (d->uploads.n > 0) {
		const struct upload_row *u = &d->uploads.v[d->uploads.n - 1];
		d->op = remote_abort(d->h->remote, u->uri, u->upload_id, &pt,
		    aborted, d);
	} else if (d->at < d->nuris) {
		d->op = remote_delete(d->h->remote, d->uris[d->at], &pt,
		    deleted, d);
	} else {
		row_done(d);
	}
}

static bool
is_ours(const struct remote_row *row, const struct remote_result *r)
{
	char digest[RK_SHA256_HEX];
	struct rnote n;

	if (rnote_parse(r->body, r->len, &n, NULL) != RK_OK)
		return false;
	rk_sha256_of(row->info, strlen(row->info), digest);
	bool ours = strcmp(n.job, row->job) == 0 && n.epoch == row->epoch &&
	    strcmp(n.checkpoint, row->dir) == 0 &&
	    strcmp(n.digest, digest) == 0;
	rnote_fini(&n);
	return ours;
}

static void
whose(void *ctx, const struct remote_result *r)
{
	struct deletion *d = ctx;
	const struct remote_row *row = &d->rows.v[d->i];

	d->op = NULL;
	if (r->end == REMOTE_OK && is_ours(row, r)) {
		gather(d);
		next_object(d);
	} else if (r->end == REMOTE_MISSING || r->hidden) {
		/* Nothing was begun there, or all of it has gone - but for one
		 * that did exist and lost just this. */
		if (row->remote_ms > 0)
			gather(d);
		next_object(d);
	} else if (result_known(r)) {
		log_warn("job=%s ship: %s is not ours and is left alone",
		    row->job, row->uri);
		row_done(d);
	} else {
		fail(d, r);
	}
}

static void
next_row(struct deletion *d)
{
	struct remote_patience pt = push_patience();
	struct ship *h = d->h;

	if (d->i >= d->rows.n) {
		free_deletion(d);
		queue_kick(h);
		return;
	}
	char *uri = xasprintf("%sremote.json", d->rows.v[d->i].uri);
	d->op = remote_get(h->remote, uri, NOTE_MAX, &pt, whose, d);
	free(uri);
}

static void
answer(void *ctx, bool yes)
{
	struct deletion *d = ctx;
	struct ship *h = d->h;

	d->asking = false;
	if (d->stopped || h->stopped) {
		free_deletion(d);
	} else if (!yes) {
		trouble_add(h, GUARD_KEY);
		free_deletion(d);
	} else {
		trouble_over(h, GUARD_KEY);
		next_row(d);
	}
}

void
delete_look(struct ship *h)
{
	struct rows rows;
	size_t n = 0;

	if (h->deletion != NULL || trouble_waits(h, GUARD_KEY))
		return;
	rows_load(h, NULL, RS_BIT(RS_DELETING), &rows);
	for (size_t i = 0; i < rows.n; i++) {
		char *key = delete_key(&rows.v[i]);
		bool waits = trouble_waits(h, key) ||
		    push_find(h, &rows.v[i]) != NULL ||
		    !job_may_write(h, rows.v[i].uri);
		free(key);
		if (waits) {
			store_remote_fini(&rows.v[i]);
			continue;
		}
		if (n != i)
			rows.v[n] = rows.v[i];
		n++;
	}
	rows.n = n;
	if (n == 0) {
		rows_fini(&rows);
		return;
	}
	struct deletion *d = h->deletion = xcalloc(1, sizeof(*d));
	d->h = h;
	d->rows = rows;
	d->asking = h->guard != NULL;
	if (d->asking)
		h->guard(h->guard_ctx, answer, d);
	else
		next_row(d);
}
