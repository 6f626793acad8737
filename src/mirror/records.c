/*
 * Changes of jobs into the bucket.
 *
 * Who has changed waits in a list, marked with the time of the change; after
 * batch_ms, and a look, what a job is then is put as an object of its version.
 * The older object goes when the newer is there.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define AGAIN_MS     1000
#define AGAIN_MAX_MS 60000
#define PUT_MS       120000

static void pump(struct mirror *m);
static void flush_look(struct mirror *m);

/* --- the list ------------------------------------------------------------- */

static void
enlist(struct mirror *m, struct rec *r, int64_t mark)
{
	r->dirty = true;
	r->mark = mark;
	r->next = NULL;
	*m->last = r;
	m->last = &r->next;
	m->waiting_recs++;
}

static void
changed(struct mirror *m, struct rec *r)
{
	if (r->dirty)
		return;
	if (r->op == NULL)
		enlist(m, r, ++m->marks);
	else if (r->again == 0)         /* what is being put is older */
		r->again = ++m->marks;
}

/* It could not be written, and is as old as it was: the list is by age. */
static void
relist(struct mirror *m, struct rec *r)
{
	struct rec **p = &m->first;

	while (*p != NULL && (*p)->mark < r->mark)
		p = &(*p)->next;
	r->dirty = true;
	r->again = 0;                   /* the next time says all */
	r->next = *p;
	*p = r;
	if (r->next == NULL)
		m->last = &r->next;
}

static struct rec *
unlist(struct mirror *m)
{
	struct rec *r = m->first;

	if (r == NULL)
		return NULL;
	m->first = r->next;
	if (m->first == NULL)
		m->last = &m->first;
	r->dirty = false;
	r->next = NULL;
	return r;
}

int64_t
records_oldest(const struct mirror *m)
{
	int64_t oldest = m->first != NULL ? m->first->mark : INT64_MAX;

	/* Those on the wire are few, but may be anywhere. */
	for (size_t i = 0; m->puts > 0 && i < m->table_cap; i++) {
		const struct rec *r = m->table[i];
		if (r != NULL && r->op != NULL)
			oldest = RK_MIN(oldest, r->mark);
	}
	return oldest;
}

/* Of all that it says but its version and when that was made. */
static uint64_t
sum_of(const json_t *record)
{
	json_t *o = json_copy((json_t *)(uintptr_t)record);
	json_t *row = json_copy(json_object_get(record, "row"));

	json_object_del(row, "version");
	json_object_del(row, "updated_ms");
	json_object_set_new(o, "row", row);
	char *text = rkj_text(o);
	uint64_t sum = rk_crc64(0, text, strlen(text));
	free(text);
	json_decref(o);
	return sum != 0 ? sum : 1;
}

static int64_t
version_of(const json_t *record)
{
	return json_integer_value(json_object_get(json_object_get(record,
	    "row"), "version"));
}

void
records_known(struct mirror *m, const char *id, const json_t *record)
{
	struct rec *r = table_need(m, id);

	r->version = version_of(record);
	r->sum = sum_of(record);
}

/* Gathered for a while, but at once when the last word waits for it; no earlier
 * than what is waited for already. */
static void
batch_soon(struct mirror *m)
{
	if (!m->began || m->in_batch)
		return;
	m->in_batch = true;
	loop_timer_at(m->batch_timer, mono_ms() + (m->flushed != NULL ? 0 :
	    m->c.batch_ms));
}

void
records_listen(void *ctx, const char *job, char what)
{
	struct mirror *m = ctx;

	must_be(m, MIRROR_TAG);
	if (what != 's' || job[0] == '\0' || m->state == MIRROR_LOST)
		return;
	struct rec *r = table_need(m, job);
	if (r == m->renewing)           /* that is being written */
		return;
	changed(m, r);
	batch_soon(m);
}

/* What is said of a job may have become true; before the beginning the base
 * says all. */
void
records_there(void *ctx, const char *job)
{
	struct mirror *m = ctx;

	must_be(m, MIRROR_TAG);
	if (!m->began || m->state == MIRROR_LOST)
		return;
	changed(m, table_need(m, job));
	batch_soon(m);
}

/* --- one record ----------------------------------------------------------- */

static void
ignored(void *ctx, const struct remote_result *r)
{
	(void)ctx;
	if (r->end != REMOTE_OK)
		log_debug("mirror: an older record stays: %s", r->error);
}

static void
drop_older(struct rec *r)
{
	struct remote_patience pt = patience(30000);
	char *key = record_key(r->m, r->m->epoch, r->id, r->object);

	(void)remote_delete(r->m->remote, key, &pt, ignored, NULL);
	free(key);
}

static void
trouble(struct mirror *m, struct rec *r, const char *error)
{
	int64_t ms = RK_MIN(AGAIN_MS << RK_MIN(m->put_fails, 6), AGAIN_MAX_MS);

	relist(m, r);
	m->batch_mark = 0;              /* this batch is over */
	if (m->put_fails++ == 0)
		log_warn("mirror: records wait: %s", error);
	free(m->error);
	m->error = rk_text_clean(xstrdup(error));
	m->in_batch = true;
	loop_timer_at(m->batch_timer, mono_ms() + ms);
}

static void
put_done(void *ctx, const struct remote_result *res)
{
	struct rec *r = ctx;
	struct mirror *m = r->m;

	must_be(m, MIRROR_TAG);
	r->op = NULL;
	m->puts--;
	if (res->end != REMOTE_OK) {
		trouble(m, r, res->error);
		return;
	}
	if (m->put_fails > 0) {
		log_info("mirror: records are written again");
		m->put_fails = 0;
		free(m->error);
		m->error = NULL;
	}
	if (r->object != 0 && r->object != r->putting)
		drop_older(r);
	r->object = r->version = r->putting;
	r->sum = r->putting_sum;
	m->waiting_recs--;
	if (r->again != 0) {
		enlist(m, r, r->again);
		r->again = 0;
		batch_soon(m);
	}
	watch_ask(m);
	pump(m);
}

static void
put(struct mirror *m, struct rec *r, int64_t version, uint64_t sum,
    const json_t *o)
{
	struct remote_patience pt = patience(PUT_MS);
	char *key = record_key(m, m->epoch, r->id, version), *text;

	text = rkj_text(o);
	r->putting = version;
	r->putting_sum = sum;
	r->sum = 0;                     /* whatever comes of it */
	m->puts++;
	r->op = remote_put(m->remote, key, text, strlen(text), false, &pt,
	    put_done, r);
	free(text);
	free(key);
}

/* Nothing to do: the bucket has it, or never will. */
static void
settled(struct mirror *m)
{
	m->waiting_recs--;
	watch_ask(m);
}

static void
put_gone(struct mirror *m, struct rec *r)
{
	json_t *o = json_pack("{s:s, s:I}", "deleted", r->id, "at",
	    (json_int_t)now_ms());

	if (r->version == 0 || r->version == GONE_VERSION)
		settled(m);             /* the bucket never knew it */
	else
		put(m, r, GONE_VERSION, 0, o);
	json_decref(o);
}

/*
 * A job as it is now, as far as the bucket has its bytes.  When these have come
 * its record says more, and no version is ever put with two contents: the row
 * gets the next one.
 */
static enum rk_err
export(struct mirror *m, struct rec *r, json_t **out, uint64_t *sum)
{
	enum rk_err rc = store_job_export(m->store, r->id, out);

	if (rc == RK_OK)
		rc = behind_set(m, *out);
	if (rc != RK_OK)
		return rc;
	int64_t version = version_of(*out);
	*sum = sum_of(*out);
	if (r->sum == *sum)
		return RK_OK;
	if (version == r->version || (version == r->putting &&
	    *sum != r->putting_sum)) {
		m->renewing = r;
		rc = sup_renew(m->sup, r->id);
		m->renewing = NULL;
		json_object_set_new(json_object_get(*out, "row"), "version",
		    json_integer(version + 1));
	}
	return rc;
}

static void
write_one(struct mirror *m, struct rec *r)
{
	json_t *o = NULL;
	uint64_t sum = 0;
	enum rk_err rc = export(m, r, &o, &sum);

	if (rc == RK_ENOENT)
		put_gone(m, r);
	else if (rc != RK_OK)
		trouble(m, r, "the database cannot be read or written");
	else if (sum == r->sum)
		settled(m);
	else
		put(m, r, version_of(o), sum, o);
	json_decref(o);
}

/* --- batches -------------------------------------------------------------- */

/* Those that waited when the batch was looked for.  What fails ends it; its
 * timer begins the next. */
static void
pump(struct mirror *m)
{
	struct rec *r;

	while (m->state == MIRROR_OWNER && m->puts < PUTS && m->first != NULL &&
	    m->first->mark <= m->batch_mark && (r = unlist(m)) != NULL)
		write_one(m, r);
	flush_look(m);
}

static void
batch_looked(void *ctx, enum look found)
{
	struct mirror *m = ctx;

	/* When nothing can be known the puts will say what is the matter. */
	m->batch_looks = false;
	if (found == LOOK_HIGHER)
		return;
	m->batch_mark = m->marks;
	pump(m);
}

static void
batch_timer_fn(void *ctx)
{
	struct mirror *m = ctx;

	must_be(m, MIRROR_TAG);
	m->in_batch = false;
	if (m->state != MIRROR_OWNER || m->batch_looks)
		return;
	if (m->first == NULL) {
		flush_look(m);
		return;
	}
	m->batch_looks = true;
	watch_look(m, batch_looked, m);
}

/* --- the last word -------------------------------------------------------- */

static void
flush_end(struct mirror *m, bool all)
{
	mirror_flushed_fn *fn = m->flushed;

	if (fn == NULL)
		return;
	m->flushed = NULL;
	remote_cancel(&m->last_op);
	loop_timer_off(m->flush_timer);
	free(m->last_word);
	m->last_word = NULL;
	fn(m->flushed_ctx, all);
}

static void
last_done(void *ctx, const struct remote_result *r)
{
	struct mirror *m = ctx;

	must_be(m, MIRROR_TAG);
	m->last_op = NULL;
	m->last_put = true;
	if (r->end != REMOTE_OK)
		log_warn("mirror: how we left could not be written: %s",
		    r->error);
	if (m->waiting_recs == 0)
		flush_end(m, r->end == REMOTE_OK);
}

static void
put_last(struct mirror *m)
{
	struct remote_patience pt = patience(PUT_MS);
	char at[RK_TIME], *key = key_of(m, "left/", m->epoch, ".json"), *text;
	json_t *o = json_pack("{s:I, s:s, s:s}", "epoch",
	    (json_int_t)m->epoch, "left_at", rk_time_text(at, now_ms()),
	    "text", m->last_word);

	must(o != NULL);
	text = rkj_pretty(o);
	m->last_op = remote_put(m->remote, key, text, strlen(text), false, &pt,
	    last_done, m);
	free(text);
	free(key);
	json_decref(o);
}

/* All records first: the last word is the last. */
static void
flush_look(struct mirror *m)
{
	if (m->flushed == NULL || m->waiting_recs > 0 || m->last_op != NULL ||
	    m->state != MIRROR_OWNER)
		return;
	if (m->last_put)
		flush_end(m, true);
	else
		put_last(m);
}

static void
flush_timer_fn(void *ctx)
{
	struct mirror *m = ctx;

	must_be(m, MIRROR_TAG);
	if (m->flushed != NULL && m->waiting_recs > 0)
		log_warn("mirror: %lld record%s not in the bucket",
		    (long long)m->waiting_recs,
		    m->waiting_recs == 1 ? " is" : "s are");
	flush_end(m, false);
}

void
mirror_flush(struct mirror *m, const char *text, int64_t deadline_ms,
    mirror_flushed_fn *fn, void *ctx)
{
	must_be(m, MIRROR_TAG);
	flush_end(m, false);            /* an earlier one is replaced */
	m->flushed = fn;
	m->flushed_ctx = ctx;
	m->last_word = rk_text_clean(xstrdup(text));
	m->last_put = false;
	if (m->state != MIRROR_OWNER) {
		loop_timer_at(m->flush_timer, mono_ms());
		return;
	}
	loop_timer_at(m->flush_timer, deadline_ms);
	m->in_batch = true;
	loop_timer_at(m->batch_timer, mono_ms());
}

void
records_begin(struct mirror *m)
{
	m->batch_timer = loop_timer_add(m->loop, batch_timer_fn, m);
	m->flush_timer = loop_timer_add(m->loop, flush_timer_fn, m);
}

void
records_fini(struct mirror *m)
{
	remote_cancel(&m->last_op);
	table_fini(m);
	free(m->last_word);
	loop_timer_del(&m->batch_timer);
	loop_timer_del(&m->flush_timer);
}
