/*
 * What a bucket has of a job that we do not know of.
 *
 * One listing of all objects below its checkpoints; a folder with remote.json
 * and checkpoint.json that agree, whose files are all listed with their sizes,
 * is a whole checkpoint, and if the caller accepts it, a row.  What was listed
 * and is then missing went by retention meanwhile: the listing is made again,
 * three times at most.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define FIND_LISTINGS 3
#define FIND_AT_ONCE  8
#define FIND_OBJECTS  100000

struct object {
	char *folder, *file;
	uint64_t size;
};

struct look;

struct find {
	unsigned tag;
	struct ship *h;
	struct find *next;
	char job[RK_ID], *base;
	ship_accept_fn *accept;
	ship_found_fn *done;
	void *ctx;
	struct remote_op *op;           /* the listing */
	int listings;
	bool vanished, timed;
	bool dropped_too;               /* what was passed over may count */
	struct object *v;
	size_t n, at;                   /* sorted by folder; the next one */
	struct look *looks;
	int nlooks, taken;
	char *error;                    /* why it came to nothing */
	struct loop_timer *end_timer;
};

/* A folder that is being looked into. */
struct look {
	struct find *f;
	struct look *next;
	char *folder, *uri;
	char dir[CKPT_DIR_MAX];
	int64_t epoch;
	bool names;                     /* names.json is listed */
	struct remote_op *op;
	struct rnote note;
	char *info;
};

static void go_on(struct find *f);
static void list(struct find *f);

/* --- ending -------------------------------------------------------------- */

static void
free_look(struct look *k)
{
	struct look **q = &k->f->looks;

	while (*q != k)
		q = &(*q)->next;
	*q = k->next;
	k->f->nlooks--;
	remote_cancel(&k->op);
	rnote_fini(&k->note);
	free(k->folder);
	free(k->uri);
	free(k->info);
	free(k);
}

static void
free_objects(struct find *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->v[i].folder);
		free(f->v[i].file);
	}
	free(f->v);
	f->v = NULL;
	f->n = f->at = 0;
}

static void
free_find(struct find *f)
{
	struct find **q = &f->h->finds;

	must_be(f, FIND_TAG);
	while (*q != f)
		q = &(*q)->next;
	*q = f->next;
	while (f->looks != NULL)
		free_look(f->looks);
	remote_cancel(&f->op);
	free_objects(f);
	loop_timer_del(&f->end_timer);
	free(f->base);
	free(f->error);
	f->tag = 0;
	free(f);
}

void
find_fini(struct ship *h)
{
	while (h->finds != NULL)
		free_find(h->finds);
}

/* From the loop, when nothing of it is under way. */
static void
end_timer_fn(void *ctx)
{
	struct find *f = ctx;
	ship_found_fn *done = f->done;
	void *dctx = f->ctx;
	int taken = f->error != NULL ? -1 : f->taken;
	char *error = f->error;

	must_be(f, FIND_TAG);
	f->error = NULL;
	free_find(f);
	done(dctx, taken, error != NULL ? error : "");
	free(error);
}

static void
fail(struct find *f, const char *error)
{
	if (f->error == NULL)
		f->error = xstrdup(error);
}

/* --- one folder ---------------------------------------------------------- */

static int
by_folder(const void *a, const void *b)
{
	const struct object *x = a, *y = b;
	int c = strcmp(x->folder, y->folder);

	return c != 0 ? c : strcmp(x->file, y->file);
}

static const struct object *
find_object(const struct find *f, const char *folder, const char *file)
{
	struct object key = { (char *)(uintptr_t)folder,
		(char *)(uintptr_t)file, 0 };

	return f->n == 0 ? NULL : bsearch(&key, f->v, f->n, sizeof(*f->v),
	    by_folder);
}

static void
skip(struct look *k, const char *why)
{
	struct find *f = k->f;

	log_warn("job=%s ship: %s is passed over: %s", f->job, k->uri, why);
	free_look(k);
	go_on(f);
}

/* Trouble of the store, or one that went meanwhile; true: the look is over. */
static bool
bad_end(struct look *k, const struct remote_result *r)
{
	struct find *f = k->f;

	k->op = NULL;
	if (r->end == REMOTE_OK)
		return false;
	if (r->end == REMOTE_MISSING) {
		f->vanished = true;
	} else if (r->too_large) {
		skip(k, r->error);
		return true;
	} else {
		fail(f, r->error);
	}
	free_look(k);
	go_on(f);
	return true;
}

static bool
is_whole(const struct look *k)
{
	for (int i = 0; i < k->note.nfiles; i++) {
		const struct note_file *n = &k->note.files[i];
		const struct object *o = find_object(k->f, n->folder, n->name);
		if (o == NULL || o->size != n->size)
			return false;
	}
	return true;
}

static bool
see_row(void *ctx, const struct remote_row *r)
{
	struct remote_row *out = ctx;

	if (strcmp(r->uri, out->uri) != 0 || strcmp(r->dir, out->dir) != 0)
		return true;
	out->state = r->state;
	out->verified_ms = r->verified_ms;
	out->remote_ms = r->remote_ms;
	out->sent = 1;                  /* there is one */
	return false;
}

/* Somebody deleted it since: what is left of it goes, too.  Before ship_go()
 * jobs are not in the database yet. */
static bool
was_deleted(const struct find *f)
{
	struct job_row r;
	enum rk_err rc = store_job_get(f->h->store, f->job, &r);

	if (rc == RK_OK)
		store_job_fini(&r);
	return f->h->going && rc == RK_ENOENT;
}

/* What a row knows already stays: verified, or on its way out. */
static bool
put_row(struct look *k, const struct ckpt_info *i)
{
	struct find *f = k->f;
	struct rfiles files;
	struct remote_row old = { .dir = k->dir, .uri = k->uri };
	char nothing[] = "";

	if (store_remotes(f->h->store, f->job, 0, see_row, &old) != RK_OK)
		return false;
	if (old.sent && (old.state == RS_DELETING ||
	    (old.state == RS_DROPPED && !f->dropped_too)))
		return true;
	rnote_files(&k->note, f->base, &files);
	struct remote_row r = { .dir = k->dir, .uri = k->uri,
		.state = old.sent && old.state == RS_VERIFIED ? RS_VERIFIED :
		RS_REMOTE, .epoch = k->epoch, .step = i->step,
		.branch = i->branch, .bytes = i->bytes, .sent = i->bytes,
		.info = k->info, .error = nothing,
		.created_ms = i->created_ms,
		.remote_ms = old.remote_ms > 0 ? old.remote_ms : now_ms(),
		.verified_ms = old.verified_ms };
	memcpy(r.job, f->job, sizeof(r.job));
	r.files = rfiles_text(&files);
	bool good = was_deleted(f) ? delete_row(f->h, &r, "its job was "
	    "deleted") : row_save(f->h, &r);
	free(r.files);
	rfiles_fini(&files);
	if (good)
		f->taken++;
	return good;
}

/* The job may go on behind it, which is for a person to see. */
static void
tell_newer(const struct look *k, const char *why)
{
	ship_event(k->f->h, k->f->job, "remote_newer", NULL, "%s is passed "
	    "over, and the job may go on from an older checkpoint: %s", k->uri,
	    why);
}

static void
take(struct look *k)
{
	struct find *f = k->f;
	struct rk_why why = {0};
	struct ckpt_info i;

	const enum rk_err rc = ckpt_info_parse(k->info, strlen(k->info), k->dir,
	    &i, &why);
	if (rc != RK_OK) {
		char *text = rk_why_text(&why);
		rk_why_fini(&why);
		if (rc == RK_EINVAL)    /* a newer rekindle wrote it */
			tell_newer(k, text);
		skip(k, text);
		free(text);
		return;
	}
	bool ours = rnote_is_of(&k->note, &i, f->job, k->info);
	if (!ours || !is_whole(k)) {
		ckpt_info_fini(&i);
		skip(k, ours ? "files that it names are missing" :
		    "its remote.json is of something else");
		return;
	}
	if (!put_row(k, &i))
		fail(f, "the database cannot be written");
	ckpt_info_fini(&i);
	free_look(k);
	go_on(f);
}

static void
names_got(void *ctx, const struct remote_result *r)
{
	struct look *k = ctx;

	if (bad_end(k, r))
		return;
	names_free(k->note.names);
	k->note.names = names_parse(r->body, r->len);
	take(k);
}

static void
get(struct look *k, const char *name, size_t max, remote_done_fn *fn)
{
	struct remote_patience pt = push_patience();
	char *uri = xasprintf("%s%s", k->uri, name);

	k->op = remote_get(k->f->h->remote, uri, max, &pt, fn, k);
	free(uri);
}

static void
info_got(void *ctx, const struct remote_result *r)
{
	struct look *k = ctx;

	if (bad_end(k, r))
		return;
	if (memchr(r->body, '\0', r->len) != NULL) {
		skip(k, "its checkpoint.json is no text");
		return;
	}
	k->info = xstrndup(r->body, r->len);
	if (k->names)
		get(k, "names.json", NOTE_MAX, names_got);
	else
		take(k);
}

static void
note_got(void *ctx, const struct remote_result *r)
{
	struct look *k = ctx;
	struct find *f = k->f;
	struct rk_why why = {0};

	if (bad_end(k, r))
		return;
	if (rnote_parse(r->body, r->len, &k->note, &why) != RK_OK) {
		char *text = rk_why_text(&why);
		rk_why_fini(&why);
		skip(k, text);
		free(text);
	} else if (k->note.epoch != k->epoch) {
		skip(k, "its remote.json has another epoch than its name");
	} else if (f->accept != NULL && !f->accept(f->ctx, k->uri, k->epoch)) {
		log_info("job=%s ship: %s does not count", f->job, k->uri);
		free_look(k);
		go_on(f);
	} else {
		get(k, "checkpoint.json", CKPT_JSON_MAX, info_got);
	}
}

/* --- all of them --------------------------------------------------------- */

/* Begin with the next folder that could be one. */
static bool
next_look(struct find *f)
{
	char dir[CKPT_DIR_MAX];
	int64_t epoch;

	while (f->at < f->n) {
		const char *folder = f->v[f->at].folder;
		bool one = folder_parse(folder, dir, &epoch) &&
		    find_object(f, folder, "checkpoint.json") != NULL &&
		    find_object(f, folder, "remote.json") != NULL;
		size_t from = f->at;
		while (f->at < f->n && strcmp(f->v[f->at].folder, folder) == 0)
			f->at++;
		if (!one)
			continue;
		struct look *k = xcalloc(1, sizeof(*k));
		k->f = f;
		k->next = f->looks;
		f->looks = k;
		f->nlooks++;
		k->folder = xstrdup(f->v[from].folder);
		k->uri = xasprintf("%s%s/", f->base, k->folder);
		memcpy(k->dir, dir, sizeof(k->dir));
		k->epoch = epoch;
		k->names = find_object(f, folder, "names.json") != NULL;
		get(k, "remote.json", NOTE_MAX, note_got);
		return true;
	}
	return false;
}

static void
go_on(struct find *f)
{
	while (f->error == NULL && f->nlooks < FIND_AT_ONCE && next_look(f))
		;
	if (f->nlooks > 0 || f->op != NULL || f->timed)
		return;
	if (f->error == NULL && f->vanished && f->listings < FIND_LISTINGS) {
		list(f);
		return;
	}
	f->timed = true;
	loop_timer_at(f->end_timer, mono_ms());
}

static bool
see_page(void *ctx, const struct remote_entry *v, size_t n)
{
	struct find *f = ctx;

	must_be(f, FIND_TAG);
	for (size_t i = 0; i < n; i++) {
		const char *slash = strchr(v[i].key, '/');
		if (slash == NULL || strchr(slash + 1, '/') != NULL)
			continue;
		if (f->n >= FIND_OBJECTS)
			return false;
		if ((f->n & (f->n - 1)) == 0)
			f->v = xrealloc(f->v, RK_MAX(f->n * 2, (size_t)1) *
			    sizeof(*f->v));
		f->v[f->n++] = (struct object){ xstrndup(v[i].key,
		    (size_t)(slash - v[i].key)), xstrdup(slash + 1),
		    v[i].size };
	}
	return true;
}

static void
listed(void *ctx, const struct remote_result *r)
{
	struct find *f = ctx;

	must_be(f, FIND_TAG);
	f->op = NULL;
	if (r->end == REMOTE_CANCELLED)
		fail(f, "there are too many objects below it");
	else if (r->end != REMOTE_OK && r->end != REMOTE_MISSING)
		fail(f, r->error);
	if (f->n > 0)
		qsort(f->v, f->n, sizeof(*f->v), by_folder);
	go_on(f);
}

static void
list(struct find *f)
{
	struct remote_patience pt = push_patience();

	free_objects(f);
	f->vanished = false;
	f->listings++;
	f->taken = 0;
	f->op = remote_list(f->h->remote, f->base, false, see_page, &pt,
	    listed, f);
}

static void
begin(struct ship *h, const char *job, const char *prefix, bool dropped_too,
    ship_accept_fn *accept, ship_found_fn *done, void *ctx)
{
	struct find *f = xcalloc(1, sizeof(*f));

	must_be(h, SHIP_TAG);
	must(rk_id_ok(job) && done != NULL);
	f->tag = FIND_TAG;
	f->h = h;
	snprintf(f->job, sizeof(f->job), "%s", job);
	f->base = job_base(prefix, job);
	f->dropped_too = dropped_too;
	f->accept = accept;
	f->done = done;
	f->ctx = ctx;
	f->end_timer = loop_timer_add(h->loop, end_timer_fn, f);
	f->next = h->finds;
	h->finds = f;
	list(f);
}

void
ship_find(struct ship *h, const char *job, const char *prefix,
    ship_accept_fn *accept, ship_found_fn *done, void *ctx)
{
	begin(h, job, prefix, false, accept, done, ctx);
}

void
find_dropped(struct ship *h, const char *job, const char *prefix,
    ship_accept_fn *accept, ship_found_fn *done, void *ctx)
{
	begin(h, job, prefix, true, accept, done, ctx);
}

void
ship_find_forget(struct ship *h, const void *ctx)
{
	struct find *f = h->finds, *next;

	for (; f != NULL; f = next) {
		next = f->next;
		if (f->ctx == ctx)
			free_find(f);
	}
}
