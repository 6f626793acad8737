/*
 * A remote folder for a checkpoint.
 *
 * checkpoint.json is there already: with our bytes, then a daemon before us got
 * that far; with others, then the folder is left alone and the next is tried.
 * Files of other folders that this one wants to refer to are asked for.  Then
 * remote.json, put if absent, claims the folder, so that no two ever write
 * different bytes to one key of it; one that is there and says what ours would
 * is our own, from before we were killed.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"

static void check_refs(struct push *p, int from);
static void claim(struct push *p);
static void look_own(struct push *p, int from);

static void
get(struct push *p, const char *name, size_t max, remote_done_fn *fn)
{
	struct remote_patience pt = push_patience();
	char *uri = push_uri(p, name);

	p->op = remote_get(p->h->remote, uri, max, &pt, fn, p);
	free(uri);
}

/* --- another folder ------------------------------------------------------ */

static bool
uri_taken(struct push *p, const char *uri)
{
	struct rows rows;
	bool taken = false;

	rows_load(p->h, p->row.job, 0, &rows);
	for (size_t i = 0; i < rows.n; i++)
		taken = taken || strcmp(rows.v[i].uri, uri) == 0;
	rows_fini(&rows);
	return taken;
}

static bool
next_uri(struct push *p)
{
	for (int n = 2; n <= PUSH_FOLDERS; n++) {
		char *uri = folder_uri(p->base, p->row.dir, p->row.epoch, n);
		if (!uri_taken(p, uri)) {
			free(p->row.uri);
			p->row.uri = uri;
			return true;
		}
		free(uri);
	}
	return false;
}

void
push_elsewhere(struct push *p)
{
	struct remote_row old;

	row_copy(&old, &p->row);
	log_info("job=%s ship: %s has something else in it and is left alone",
	    p->row.job, p->row.uri);
	if (!next_uri(p)) {
		store_remote_fini(&old);
		push_fail_text(p, REMOTE_REFUSED, "every folder that it could "
		    "have is there already with something else in it");
		return;
	}
	/* Nothing of it is in the new one. */
	p->row.state = RS_QUEUED;
	p->row.remote_ms = 0;
	bool good = push_plan(p) && row_drop(p->h, &old);
	store_remote_fini(&old);
	if (good)
		push_check(p);
	else
		push_fail_text(p, REMOTE_LOCAL, "the database cannot be "
		    "written");
}

/* --- is it free? --------------------------------------------------------- */

/* The store has answered what is there: nothing, that, or something too large
 * to be ours.  Any other end is trouble, and says nothing of the folder. */
bool
result_known(const struct remote_result *r)
{
	return r->end == REMOTE_OK || r->end == REMOTE_MISSING || r->too_large;
}

/* That, or we may not be told. */
static bool
result_absent(const struct remote_result *r)
{
	return r->end == REMOTE_MISSING || r->hidden;
}

/* Where its files are is said by its remote.json, whatever we had in mind. */
static void
adopt(void *ctx, const struct remote_result *r)
{
	struct push *p = ctx;
	struct ckpt_info i = {0};
	struct rnote n = {0};

	must_be(p, PUSH_TAG);
	p->op = NULL;
	if (!result_known(r) && !r->hidden) {
		push_fail(p, r);
		return;
	}
	bool good = r->end == REMOTE_OK && row_info(&p->row, &i) &&
	    rnote_parse(r->body, r->len, &n, NULL) == RK_OK &&
	    rnote_is_of(&n, &i, p->row.job, p->row.info);
	if (good) {
		rfiles_fini(&p->files);
		rnote_files(&n, p->base, &p->files);
	}
	rnote_fini(&n);
	ckpt_info_fini(&i);
	if (good)
		push_remote(p);
	else
		push_elsewhere(p);
}

static void
checked(void *ctx, const struct remote_result *r)
{
	struct push *p = ctx;

	must_be(p, PUSH_TAG);
	p->op = NULL;
	/* If it is there and hidden from us, the claim will say so. */
	if (result_absent(r))
		check_refs(p, 0);
	else if (r->end == REMOTE_OK && r->len == strlen(p->row.info) &&
	    memcmp(r->body, p->row.info, r->len) == 0)
		get(p, "remote.json", NOTE_MAX, adopt);
	else if (result_known(r))
		push_elsewhere(p);
	else
		push_fail(p, r);
}

void
push_check(struct push *p)
{
	get(p, "checkpoint.json", CKPT_JSON_MAX, checked);
}

/* --- files elsewhere ----------------------------------------------------- */

/* Checkpoints that refer to a file that is not there are not whole. */
void
drop_referrers(struct push *p, const struct rfile *f)
{
	struct rows rows;
	struct rfiles other;

	rows_load(p->h, p->row.job, RS_THERE, &rows);
	for (size_t i = 0; i < rows.n; i++) {
		bool refers = false;
		rfiles_parse(&other, rows.v[i].files);
		for (int k = 0; k < other.n; k++)
			refers = refers || strcmp(other.v[k].uri, f->uri) == 0;
		rfiles_fini(&other);
		if (!refers)
			continue;
		row_damaged(p->h, &rows.v[i], f->uri);
	}
	rows_fini(&rows);
}

static void
ref_checked(void *ctx, const struct remote_result *r)
{
	struct push *p = ctx;
	struct rfile *f;

	must_be(p, PUSH_TAG);
	f = &p->files.v[p->at];
	p->op = NULL;
	if (result_agrees(r, f)) {
		p->there[p->at] = true;
		check_refs(p, p->at + 1);
	} else if (r->end == REMOTE_OK || r->end == REMOTE_MISSING) {
		drop_referrers(p, f);
		if (push_plan(p))
			check_refs(p, 0);
		else
			push_fail_text(p, REMOTE_LOCAL, "the database cannot "
			    "be written");
	} else {
		push_fail(p, r);
	}
}

static void
check_refs(struct push *p, int from)
{
	struct remote_patience pt = push_patience();

	for (int i = from; i < p->files.n; i++) {
		if (push_own(p, i))
			continue;
		p->at = i;
		p->op = remote_head(p->h->remote, p->files.v[i].uri, &pt,
		    ref_checked, p);
		return;
	}
	claim(p);
}

/* --- the claim ----------------------------------------------------------- */

bool
push_seen(struct push *p, const struct remote_result *r)
{
	p->op = NULL;
	if (r->end != REMOTE_OK && r->end != REMOTE_MISSING) {
		push_fail(p, r);
		return false;
	}
	p->there[p->at] = result_agrees(r, &p->files.v[p->at]);
	return true;
}

static void
own_seen(void *ctx, const struct remote_result *r)
{
	struct push *p = ctx;

	must_be(p, PUSH_TAG);
	/* What we may read was shown by remote.json: it is not there. */
	if (r->hidden)
		p->op = NULL;
	if (r->hidden || push_seen(p, r))
		look_own(p, p->at + 1);
}

/* What a push before this one has sent. */
static void
look_own(struct push *p, int from)
{
	struct remote_patience pt = push_patience();

	for (int i = from; i < p->files.n; i++) {
		if (!push_own(p, i) || p->there[i])
			continue;
		p->at = i;
		p->op = remote_head(p->h->remote, p->files.v[i].uri, &pt,
		    own_seen, p);
		return;
	}
	push_files(p);
}

static void
claim_seen(void *ctx, const struct remote_result *r)
{
	struct push *p = ctx;

	must_be(p, PUSH_TAG);
	p->op = NULL;
	if (r->end == REMOTE_OK && rnote_same(r->body, r->len, p->note))
		look_own(p, 0);
	else if (r->end == REMOTE_MISSING)
		claim(p);
	else if (result_known(r))
		push_elsewhere(p);
	else
		push_fail(p, r);
}

static void
claimed(void *ctx, const struct remote_result *r)
{
	struct push *p = ctx;

	must_be(p, PUSH_TAG);
	p->op = NULL;
	if (r->end == REMOTE_OK)
		push_files(p);
	else if (r->end == REMOTE_EXISTS)
		get(p, "remote.json", NOTE_MAX, claim_seen);
	else
		push_fail(p, r);
}

/* From here on there may be something of it in the bucket. */
static void
claim(struct push *p)
{
	struct remote_patience pt = push_patience();

	if (!push_save(p, RS_UPLOADING)) {
		push_fail_text(p, REMOTE_LOCAL, "the database cannot be "
		    "written");
		return;
	}
	char *uri = push_uri(p, "remote.json");
	free(p->note);
	p->note = rnote_text(p->h, &p->row, &p->files, p->base);
	p->op = remote_put(p->h->remote, uri, p->note, strlen(p->note), true,
	    &pt, claimed, p);
	free(uri);
}
