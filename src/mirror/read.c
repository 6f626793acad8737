/*
 * Step 3: which jobs are to be taken over, and their records.
 *
 * When the newest base is another's, all that the bucket has.  When it is ours,
 * those alone whose record there is newer than ours, or that we miss without
 * having deleted them: this directory is then a copy, or was restored.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define LISTINGS_MAX 20

struct fetch {
	struct fetch *next;
	struct mirror *m;
	size_t i;                       /* in m->base.v */
	struct remote_op *op;
};

static void step_records(struct mirror *m);

void
read_fini(struct mirror *m)
{
	struct fetch *f;

	while ((f = m->fetches) != NULL) {
		m->fetches = f->next;
		remote_cancel(&f->op);
		free(f);
	}
	m->under_way = 0;
}

/* --- the records themselves ----------------------------------------------- */

static bool
wanted(const struct bjob *j)
{
	return j->take && !j->done && j->listed > j->version &&
	    j->listed < GONE_VERSION;
}

static void fetch_more(struct mirror *m);

static void
fetched(void *ctx, const struct remote_result *r)
{
	struct fetch *f = ctx, **p;
	struct mirror *m = f->m;
	struct bjob *j = &m->base.v[f->i];
	char *text;

	must_be(m, MIRROR_TAG);
	for (p = &m->fetches; *p != f; p = &(*p)->next)
		;
	*p = f->next;
	free(f);
	m->under_way--;
	if (r->end == REMOTE_OK) {
		j->done = true;
		j->rec = xmalloc(r->len + 1);
		memcpy(j->rec, r->body, r->len);
		j->rec[r->len] = '\0';
		j->rec_len = r->len;
	} else if (r->end == REMOTE_MISSING) {
		m->vanished = true;     /* a newer one was put just now */
	} else if (r->too_large) {
		j->done = true;
		j->refused = xstrdup(r->error);
	} else {
		text = xasprintf("cannot read the record of job %s: %s", j->id,
		    r->error);
		read_fini(m);
		go_again(m, text);
		free(text);
		return;
	}
	fetch_more(m);
}

static void
fetch_more(struct mirror *m)
{
	for (; m->at < m->base.n && m->under_way < GETS; m->at++) {
		struct bjob *j = &m->base.v[m->at];
		if (!wanted(j))
			continue;
		struct fetch *f = xcalloc(1, sizeof(*f));
		struct remote_patience pt = patience(60000);
		char *key = record_key(m, m->b, j->id, j->listed);
		f->m = m;
		f->i = m->at;
		f->next = m->fetches;
		m->fetches = f;
		m->under_way++;
		f->op = remote_get(m->remote, key, RECORD_MAX, &pt, fetched,
		    f);
		free(key);
	}
	if (m->under_way > 0)
		return;
	went_well(m);
	if (!m->vanished)
		go_to(m, step_find);
	else if (m->listings < LISTINGS_MAX)
		go_to(m, step_records);
	else {
		m->listings = 0;
		go_again(m, "records that are listed cannot be found");
	}
}

/* --- whose are they ------------------------------------------------------- */

static bool
see_here(void *ctx, const char *id, int64_t version)
{
	struct bjob *j = base_find(ctx, id);

	if (j != NULL) {
		j->here = true;
		j->here_version = version;
	}
	return true;
}

static bool
see_deleted(void *ctx, const struct event_row *e)
{
	bool *deleted = ctx;

	*deleted = *deleted || strcmp(e->kind, "deleted") == 0;
	return !*deleted;
}

static bool
deleted_here(struct mirror *m, const char *id)
{
	bool deleted = false;

	return store_events(m->store, id, 0, 10000, see_deleted, &deleted) ==
	    RK_OK && deleted;
}

static void
judge(struct mirror *m, struct bjob *j)
{
	int64_t newest = RK_MAX(j->version, j->listed);

	if (j->listed == GONE_VERSION && !j->gone) {
		j->gone = true;
		j->gone_ms = now_ms();
	}
	if (j->gone)
		j->take = j->here;
	else if (m->foreign)
		j->take = true;
	else if (j->here)
		j->take = newest > j->here_version;
	else
		j->take = !deleted_here(m, j->id);
	if (!m->foreign && !j->gone && !j->here && !j->take) {
		j->gone = true;
		j->gone_ms = now_ms();
	}
	/* Whose checkpoints must be known before it begins; the others had
	 * ended when the base was made, and have not changed since. */
	j->search = j->take && !j->gone && (!j->ended || j->here ||
	    j->epochs != NULL || j->listed > j->version);
	/* Ours, and where it sends its checkpoints may be allowed by now. */
	j->search = j->search || (!j->take && j->here && !j->gone &&
	    j->unfound && j->epochs != NULL);
}

static void
judge_all(struct mirror *m)
{
	static const struct store_filter all;
	size_t take = 0;

	if (store_job_ids(m->store, &all, NULL, INT32_MAX, see_here,
	    &m->base) != RK_OK) {
		go_again(m, "cannot read the jobs of this directory");
		return;
	}
	for (size_t i = 0; i < m->base.n; i++) {
		judge(m, &m->base.v[i]);
		take += m->base.v[i].take;
	}
	if (m->base.bad > 0) {
		char *text = xasprintf("%zu line%s of base %lld cannot be "
		    "read and %s passed over (%s)", m->base.bad,
		    rk_s((int64_t)m->base.bad), (long long)m->b,
		    m->base.bad == 1 ? "is" : "are", m->base.bad_why);
		log_error("mirror: %s", text);
		sup_event(m->sup, "", "mirror", text, NULL);
		free(text);
	}
	if (take > 0) {
		log_info("mirror: %zu job%s of epoch %lld taken over", take,
		    rk_s((int64_t)take), (long long)m->b);
		mirror_move(m, MIRROR_TAKING, "the bucket has newer records");
	}
	m->at = 0;
	fetch_more(m);
}

/* --- listings ------------------------------------------------------------- */

static bool
see_records(void *ctx, const struct remote_entry *v, size_t n)
{
	struct mirror *m = ctx;
	char id[RK_ID];
	int64_t version;

	for (size_t i = 0; i < n; i++) {
		if (!record_name(v[i].key, id, &version))
			continue;
		struct bjob *j = base_find(&m->base, id);
		if (j == NULL && m->base.n >= JOBS_MAX)
			return false;
		if (j == NULL)
			j = base_add(&m->base, id);
		if (version > j->listed) {
			j->listed = version;
			j->done = false;
			free(j->rec);
			j->rec = NULL;
		}
	}
	return true;
}

static void
records_listed(void *ctx, const struct remote_result *r)
{
	struct mirror *m = ctx;

	must_be(m, MIRROR_TAG);
	if (r->end == REMOTE_CANCELLED) {
		m->op = NULL;
		go_again(m, "there are more records than jobs can be");
	} else if (step_good(m, r, "list the records")) {
		judge_all(m);
	}
}

static void
step_records(struct mirror *m)
{
	struct remote_patience pt = patience(120000);
	char *dir = key_of(m, "records/", m->b, "/");

	read_fini(m);
	m->vanished = false;
	m->listings++;
	m->op = remote_list(m->remote, dir, false, see_records, &pt,
	    records_listed, m);
	free(dir);
}

/* Records of an epoch are put behind its base: where they are without, the base
 * was taken away, and nothing is begun from nothing: but for the directory that
 * made the base and has gone on from it. */
static void
folders_listed(void *ctx, const struct remote_result *r)
{
	struct mirror *m = ctx;
	int64_t top;

	must_be(m, MIRROR_TAG);
	if (!step_good(m, r, "list the folders of records"))
		return;
	top = numbers_top(&m->list);
	if (top > m->b && top != m->epoch && !own_base(m, top, "is missing")) {
		char *text = no_base_text(m, top, "is missing");
		/* It may have been put since we looked. */
		m->step = step_claim;
		go_again(m, text);
		free(text);
	} else {
		went_well(m);
		m->listings = 0;
		go_to(m, m->b > 0 ? step_records : step_find);
	}
}

void
step_read(struct mirror *m)
{
	if (m->alone && m->foreign) {           /* claimed before it was alone */
		mirror_lose(m, m->b);
		return;
	}
	if (m->foreign)
		mirror_move(m, MIRROR_TAKING, "the newest base is another's");
	step_list(m, "records/", "/", folders_listed);
}
