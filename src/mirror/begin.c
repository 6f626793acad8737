/* Steps 4 and 5: our base, the last look, and off. */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define ATTEMPTS      100               /* of a job, in a base */
#define ATTEMPTS_MANY 10                /* where there are many jobs */
#define MANY_JOBS     1000
#define STALE_MS      2000

static void step_put(struct mirror *m);

/* --- lines ---------------------------------------------------------------- */

static bool
see_row(void *ctx, const struct remote_row *r)
{
	json_t *list = ctx;

	/* Those on their way count once they are there: PROTOCOL, 3a. */
	if (r->state != RS_DROPPED && r->state != RS_DELETING &&
	    r->uri[0] != '\0' && json_array_size(list) < CKPTS_MAX)
		json_array_append_new(list, json_string(r->uri));
	return true;
}

/* Are its remote checkpoints those of the old base, not looked for yet? */
static bool
later(const struct bjob *j)
{
	return !j->gone && j->refused == NULL && (j->closed ||
	    (!j->search && (j->take || j->unfound)));
}

static void
cut_attempts(struct mirror *m, json_t *record)
{
	json_t *v = json_object_get(record, "attempts");
	int64_t n[JOB_STATES], jobs = 0;
	size_t most;

	if (store_counts(m->store, n) != RK_OK)
		return;
	for (int i = 0; i < JOB_STATES; i++)
		jobs += n[i];
	most = jobs > MANY_JOBS ? ATTEMPTS_MANY : ATTEMPTS;
	while (json_array_size(v) > most)
		json_array_remove(v, 0);
}

static enum rk_err
put_job(struct mirror *m, const char *id)
{
	const struct bjob *j = base_find(&m->base, id);
	bool old = j != NULL && later(j);
	json_t *record = NULL, *list;
	enum rk_err rc = store_job_export(m->store, id, &record);

	if (rc != RK_OK)
		return rc == RK_ENOENT ? RK_OK : rc;
	/* Of those that nobody has looked for the old record is still true. */
	if (!old && (rc = behind_set(m, record)) != RK_OK) {
		json_decref(record);
		return rc;
	}
	list = old && j->ckpts != NULL ? json_copy(j->ckpts) : json_array();
	rc = store_remotes(m->store, id, 0, see_row, list);
	if (rc == RK_OK) {
		records_known(m, id, record);
		cut_attempts(m, record);
		base_put_job(&m->out, record, list, old ? j : NULL,
		    old && j->closed ? m->b : 0);
		m->lines++;
	} else {
		json_decref(list);
	}
	json_decref(record);
	return rc;
}

struct page {
	char id[SLICE][RK_ID];
	int n;
};

static bool
see_id(void *ctx, const char *id, int64_t version)
{
	struct page *p = ctx;

	(void)version;
	snprintf(p->id[p->n++], RK_ID, "%s", id);
	return p->n < SLICE;
}

static void
keep_aside(struct mirror *m, const struct bjob *j)
{
	m->asides = xrealloc(m->asides, (m->nasides + 1) *
	    sizeof(*m->asides));
	memcpy(m->asides[m->nasides].id, j->id, RK_ID);
	m->asides[m->nasides++].gone = j->gone;
}

const char *
mirror_aside(const struct mirror *m, const char *id)
{
	for (size_t i = 0; i < m->nasides; i++) {
		if (strcmp(m->asides[i].id, id) == 0)
			return m->asides[i].gone ? "it was deleted, as the "
			    "bucket says" : "the bucket has a record of it "
			    "that this rekindled cannot read";
	}
	return NULL;
}

/* Deleted jobs, so that an older directory does not bring them back, and lines
 * that we could not use. */
static void
put_others(struct mirror *m)
{
	int64_t now = now_ms();

	for (size_t i = m->base.n; i-- > 0;) {
		const struct bjob *j = &m->base.v[i];
		if (j->gone || j->refused != NULL)
			keep_aside(m, j);
		if (j->gone && m->gone < GONE_KEPT &&
		    now - j->gone_ms < GONE_KEPT_MS) {
			base_put_gone(&m->out, j->id, j->gone_ms);
			m->gone++;
			m->lines++;
		} else if (!j->gone && j->refused != NULL &&
		    base_put_aside(&m->out, j, m->text, m->b)) {
			m->lines++;
		}
	}
}

static void
step_build(struct mirror *m)
{
	static const struct store_filter all;
	struct page p = { .n = 0 };
	enum rk_err rc = store_job_ids(m->store, &all, m->after[0] != '\0' ?
	    m->after : NULL, SLICE, see_id, &p);

	for (int i = 0; i < p.n && rc == RK_OK; i++)
		rc = put_job(m, p.id[i]);
	if (rc != RK_OK || m->out.len > BASE_MAX || m->lines > JOBS_MAX) {
		m->step = step_begin;
		go_again(m, rc != RK_OK ? "cannot read the jobs" :
		    "there are more jobs than a base can hold");
	} else if (p.n > 0) {
		memcpy(m->after, p.id[p.n - 1], RK_ID);
		go_to(m, step_build);
	} else {
		put_others(m);
		base_put_end(&m->out, m->lines);
		go_to(m, step_put);
	}
}

void
step_begin(struct mirror *m)
{
	sb_reset(&m->out);
	m->lines = m->gone = m->nasides = 0;
	m->after[0] = '\0';
	base_put_head(&m->out, m->epoch, m->claim);
	step_build(m);
}

/* --- off ------------------------------------------------------------------ */

static void
begin(struct mirror *m)
{
	m->began = true;
	went_well(m);
	loop_timer_off(m->alone_timer);
	sb_fini(&m->out);
	mirror_move(m, MIRROR_OWNER, m->foreign ? "taken over" :
	    m->b > 0 ? "our own" : "the first");
	ship_go(m->ship, m->epoch);
	sup_go(m->sup, m->epoch);
	m->checked_ms = mono_ms();
	loop_timer_at(m->tick, mono_ms());
	loop_timer_at(m->batch_timer, mono_ms());
	clean_begin(m);
	search_later(m);
}

static void step_look(struct mirror *m);

static void
looked(void *ctx, enum look found)
{
	struct mirror *m = ctx;

	must_be(m, MIRROR_TAG);
	if (found == LOOK_HIGHER)
		return;
	if (found == LOOK_UNKNOWN)
		go_again(m, m->look_error);
	else if (watch_clock() - m->asked_ms > STALE_MS)
		go_to(m, step_look);    /* frozen meanwhile: an old answer */
	else
		begin(m);
}

static void
step_look(struct mirror *m)
{
	watch_look(m, looked, m);
}

/* --- the base ------------------------------------------------------------- */

/* There is one: ours, if the answer to an earlier try was lost. */
static void
theirs_got(void *ctx, const struct remote_result *r)
{
	struct mirror *m = ctx;
	bool ours;

	must_be(m, MIRROR_TAG);
	if (r->end == REMOTE_MISSING) {
		go_back(m, step_put, "our base is said to be there, and cannot "
		    "be read");
		return;
	}
	if (!step_good(m, r, "read our base"))
		return;
	ours = r->len == m->out.len && memcmp(r->body, m->out.s, r->len) == 0;
	if (ours) {
		go_to(m, step_look);
	} else {
		log_warn("mirror: base %lld is somebody else's",
		    (long long)m->epoch);
		m->epoch = 0;
		go_to(m, step_claim);
	}
}

static void
base_put(void *ctx, const struct remote_result *r)
{
	struct mirror *m = ctx;
	char *key;

	must_be(m, MIRROR_TAG);
	if (r->end == REMOTE_EXISTS) {
		struct remote_patience pt = patience(120000);
		key = key_of(m, "base/", m->epoch, ".jsonl");
		m->op = remote_get(m->remote, key, REMOTE_SMALL, &pt,
		    theirs_got, m);
		free(key);
	} else if (step_good(m, r, "write the base")) {
		log_info("mirror: base %lld has %zu job%s",
		    (long long)m->epoch, m->lines, rk_s((int64_t)m->lines));
		go_to(m, step_look);
	}
}

static void
step_put(struct mirror *m)
{
	struct remote_patience pt = patience(120000);
	char *key;

	/* From now on what is here and what the base says are the same. */
	if (mine_save(m, m->foreign) != RK_OK) {
		go_again(m, "cannot write to the database");
		return;
	}
	key = key_of(m, "base/", m->epoch, ".jsonl");
	m->op = remote_put(m->remote, key, m->out.s, m->out.len, true, &pt,
	    base_put, m);
	free(key);
}
