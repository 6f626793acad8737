/*
 * A job's record: its row and its newest attempts as one JSON object, written
 * by one machine and read by another.
 *
 *	{"record": 1, "row": {"id": ..., "state": "running", ...},
 *	 "attempts": [{"n": 1, ...}, ...],
 *	 "keys": [{"key": ..., "digest": ..., "at": ...}, ...]}
 *
 * keys: the Idempotency-Keys of its last day, newest first; older records are
 * without them.
 * Texts that are JSON themselves (spec, labels, progress, plan) stay texts, so
 * that what is read is byte for byte what was written.  Fields that are not
 * known are passed over: a newer rekindled may have more of them; one that
 * changes what the known ones mean has another number in "record".
 */
#include <stdlib.h>
#include <string.h>

#include "db.h"

#define RECORD_VERSION  1
#define ATTEMPTS_MAX    100
#define KEYS_MAX        100
#define KEY_MAX         255
#define NUMBER_MAX      ((int64_t)1 << 53)      /* as JSON's readers have it */
#define COUNT_MAX  1000000000
#define WORD_MAX        256
#define SENTENCE_MAX    65536

/*
 * Both structs as lists of fields, so that what is written and what is read
 * cannot drift apart.
 */
struct text_field {
	const char *key;
	size_t at, max;
	char json;              /* 'o' an object, 'v' any value or "", 'n' no
	                           JSON but a name or "", 's' or "step:N" */
	bool newer;             /* older records are without it */
};
#define JOB_TEXT(f, max, json) \
	{ #f, offsetof(struct job_row, f), max, json, false }
#define JOB_TEXT_NEWER(f, max, json) \
	{ #f, offsetof(struct job_row, f), max, json, true }
static const struct text_field job_texts[] = {
	JOB_TEXT(name, 4096, 0), JOB_TEXT(reason, WORD_MAX, 0),
	JOB_TEXT(message, SENTENCE_MAX, 0), JOB_TEXT(spec, RKJ_MAX_BYTES, 'o'),
	JOB_TEXT(labels, SENTENCE_MAX, 'o'), JOB_TEXT(resume_from, WORD_MAX, 's'),
	JOB_TEXT(progress, RKJ_MAX_BYTES, 'o'),
	JOB_TEXT(plan, RKJ_MAX_BYTES, 'v'),
	JOB_TEXT(plan_summary, SENTENCE_MAX, 0),
	JOB_TEXT_NEWER(known_dir, WORD_MAX, 'n'),
	JOB_TEXT_NEWER(accept, WORD_MAX, 0),
};
#define AT_TEXT(f, max, json) \
	{ #f, offsetof(struct attempt_row, f), max, json, false }
static const struct text_field attempt_texts[] = {
	AT_TEXT(from, WORD_MAX, 'n'), AT_TEXT(outcome, WORD_MAX, 0),
	AT_TEXT(message, SENTENCE_MAX, 0), AT_TEXT(instance, WORD_MAX, 0),
};

struct int_field {
	const char *key;
	size_t at;
	int64_t min, max;
	bool newer;
};
#define JOB_INT(f, min) \
	{ #f, offsetof(struct job_row, f), min, NUMBER_MAX, false }
/* A count goes on from what it is, and has to stay a number of ten digits: that
 * is what names of records have room for. */
#define JOB_COUNT(f, min) \
	{ #f, offsetof(struct job_row, f), min, COUNT_MAX, false }
#define JOB_INT_NEWER(f) \
	{ #f, offsetof(struct job_row, f), 0, NUMBER_MAX, true }
static const struct int_field job_ints[] = {
	JOB_INT(priority, -NUMBER_MAX), JOB_INT(threads, 0),
	JOB_INT(created_ms, 0), JOB_INT(updated_ms, 0), JOB_INT(started_ms, 0),
	JOB_INT(ended_ms, 0), JOB_COUNT(attempt, 0), JOB_COUNT(failures, 0),
	JOB_INT(not_before_ms, 0), JOB_COUNT(version, 1),
	JOB_INT_NEWER(known_step), JOB_INT_NEWER(known_ms),
	JOB_INT_NEWER(lost_steps),
};
#define AT_INT(f, min) \
	{ #f, offsetof(struct attempt_row, f), min, NUMBER_MAX, false }
static const struct int_field attempt_ints[] = {
	AT_INT(n, 1), AT_INT(pid, 0), AT_INT(started_ms, 0),
	AT_INT(hello_ms, 0), AT_INT(ended_ms, 0), AT_INT(branch, 0),
	AT_INT(start_step, 0), AT_INT(end_step, 0), AT_INT(epoch, 0),
};

/* --- writing -------------------------------------------------------------- */

static void
put(json_t *o, const char *key, json_t *v)
{
	must(json_object_set_new(o, key, v) == 0);
}

static void
put_text(json_t *o, const char *key, const char *s)
{
	json_t *v = json_string(s);

	if (v == NULL) {                /* bytes that are no UTF-8 */
		char *clean = rk_text_clean(xstrdup(s));
		v = json_string(clean);
		free(clean);
	}
	put(o, key, v);
}

static void
put_fields(json_t *o, const void *row, const struct text_field *t, size_t nt,
    const struct int_field *n, size_t nn)
{
	const char *p = row;
	int64_t x;
	char *s;

	for (size_t i = 0; i < nt; i++) {
		memcpy(&s, p + t[i].at, sizeof(s));
		put_text(o, t[i].key, s != NULL ? s : "");
	}
	for (size_t i = 0; i < nn; i++) {
		memcpy(&x, p + n[i].at, sizeof(x));
		put(o, n[i].key, json_integer(x));
	}
}

static bool
add_attempt(void *ctx, const struct attempt_row *a)
{
	json_t *o = json_object();

	put_fields(o, a, attempt_texts, RK_ARRAY_LEN(attempt_texts),
	    attempt_ints, RK_ARRAY_LEN(attempt_ints));
	must(json_array_append_new(ctx, o) == 0);
	return true;
}

static void
add_key(void *ctx, const char *key, const char *digest, int64_t at_ms)
{
	json_t *o = json_object();

	put_text(o, "key", key);
	put_text(o, "digest", digest);
	put(o, "at", json_integer(at_ms));
	must(json_array_append_new(ctx, o) == 0);
}

json_t *
store_job_record(const struct job_row *r)
{
	json_t *row = json_object(), *o;

	put_text(row, "id", r->id);
	put_text(row, "state", job_state_words[r->state]);
	put_text(row, "desired", job_desired_words[r->desired]);
	put(row, "memory", json_integer((json_int_t)r->memory));
	put_fields(row, r, job_texts, RK_ARRAY_LEN(job_texts), job_ints,
	    RK_ARRAY_LEN(job_ints));
	o = json_pack("{s:i, s:o, s:[], s:[]}", "record", RECORD_VERSION,
	    "row", row, "attempts", "keys");
	must(o != NULL);
	return o;
}

enum rk_err
store_job_export(struct store *s, const char *id, json_t **out)
{
	struct job_row r;
	enum rk_err rc = store_job_get(s, id, &r);

	*out = NULL;
	if (rc != RK_OK)
		return rc;
	*out = store_job_record(&r);
	json_t *attempts = json_object_get(*out, "attempts");
	json_t *keys = json_object_get(*out, "keys");
	store_job_fini(&r);
	sqlite3_stmt *st = db_st(s, ST_ATTEMPTS_NEWEST);
	db_text(st, 1, id);
	sqlite3_bind_int(st, 2, ATTEMPTS_MAX);
	rc = attempts_walk(s, st, add_attempt, attempts);
	if (rc == RK_OK)
		rc = idem_walk(s, id, KEYS_MAX, add_key, keys);
	if (rc != RK_OK) {
		json_decref(*out);
		*out = NULL;
	}
	return rc;
}

/* --- reading -------------------------------------------------------------- */

/* What becomes a part of a path, or a word of a command: of a checkpoint. */
static void
check_name(struct rkj_obj *o, const struct text_field *f, const char *s)
{
	const bool step = f->json == 's' && strncmp(s, "step:", 5) == 0;

	if (s[0] != '\0' && !rk_name_ok(step ? s + 5 : s))
		rkj_fault(o, f->key, "is no name of a checkpoint");
}

/* Is the text of the kind that its field holds? */
static void
check_text(struct rkj_obj *o, const struct text_field *f, const char *s)
{
	struct rk_why own = {0};
	json_t *v = NULL;

	if (f->json == 'n' || f->json == 's') {
		check_name(o, f, s);
		return;
	}
	if (f->json == 'v' && s[0] == '\0')
		return;
	if (rkj_parse_json(s, strlen(s), &v, &own) != RK_OK)
		rkj_fault(o, f->key, "is no JSON: %s", rk_why_first(&own));
	else if (f->json == 'o' && !json_is_object(v))
		rkj_fault(o, f->key, "is no JSON object");
	json_decref(v);
	rk_why_fini(&own);
}

/* Every field is asked for but the newer ones, and every text is there
 * afterwards. */
static void
get_fields(struct rkj_obj *o, void *row, const struct text_field *t, size_t nt,
    const struct int_field *n, size_t nn)
{
	char *p = row;

	for (size_t i = 0; i < nt; i++) {
		char *s = NULL;
		if (rkj_str(o, t[i].key, &s, t[i].max, t[i].newer ?
		    RKJ_OPTIONAL : RKJ_REQUIRED) && t[i].json != 0)
			check_text(o, &t[i], s);
		if (s == NULL && t[i].newer)
			s = xstrdup("");
		memcpy(p + t[i].at, &s, sizeof(s));
	}
	for (size_t i = 0; i < nn; i++) {
		int64_t x = 0;
		rkj_int(o, n[i].key, &x, n[i].min, n[i].max, n[i].newer ?
		    RKJ_OPTIONAL : RKJ_REQUIRED);
		memcpy(p + n[i].at, &x, sizeof(x));
	}
}

/* They become rows of a table: texts by name. */
static void
check_labels(struct rkj_obj *o, const char *labels)
{
	json_t *tree = NULL, *v;
	const char *key;

	if (rkj_parse_json(labels, strlen(labels), &tree, NULL) != RK_OK)
		return;                 /* has been said */
	json_object_foreach(tree, key, v) {
		if (!json_is_string(v)) {
			rkj_fault(o, "labels", "has a value that is no text");
			break;
		}
	}
	json_decref(tree);
}

/* A record of a rekindled that did not keep this apart. */
static void
known_of_progress(struct job_row *r)
{
	json_t *p = NULL;
	const char *dir;

	if (r->progress == NULL || rkj_parse_json(r->progress,
	    strlen(r->progress), &p, NULL) != RK_OK)
		return;
	dir = json_string_value(json_object_get(p, "checkpoint"));
	if (dir != NULL && rk_name_ok(dir)) {
		free(r->known_dir);
		r->known_dir = xstrdup(dir);
		r->known_step = RK_MAX(json_integer_value(json_object_get(p,
		    "checkpoint_step")), 0);
		r->known_ms = r->updated_ms;
	}
	json_decref(p);
}

static void
get_row(struct job_row *r, const json_t *v, struct rk_why *why)
{
	struct rkj_obj o;
	char *id = NULL;
	int state = 0, desired = 0;

	rkj_open(&o, v, "row", why);
	if (rkj_str(&o, "id", &id, RK_ID_LEN, RKJ_REQUIRED)) {
		if (!rk_id_ok(id))
			rkj_fault(&o, "id", "is no id of a job");
		snprintf(r->id, sizeof(r->id), "%s", id);
	}
	free(id);
	rkj_enum(&o, "state", &state, job_state_words, RKJ_REQUIRED);
	rkj_enum(&o, "desired", &desired, job_desired_words, RKJ_REQUIRED);
	r->state = (enum job_state)state;
	r->desired = (enum job_desired)desired;
	int64_t memory = 0;
	rkj_int(&o, "memory", &memory, 0, INT64_MAX, RKJ_REQUIRED);
	r->memory = (uint64_t)memory;
	get_fields(&o, r, job_texts, RK_ARRAY_LEN(job_texts), job_ints,
	    RK_ARRAY_LEN(job_ints));
	if (r->labels != NULL)
		check_labels(&o, r->labels);
	if (json_object_get(v, "known_dir") == NULL)
		known_of_progress(r);
	rkj_close_lenient(&o);
}

/* Numbers grow, and none is beyond the one that the job says is the last. */
static void
get_attempt(struct attempt_row *a, const json_t *v, size_t i, int64_t after,
    int64_t last, struct rk_why *why)
{
	struct rkj_obj o;
	char path[32];

	snprintf(path, sizeof(path), "attempts[%zu]", i);
	rkj_open(&o, v, path, why);
	get_fields(&o, a, attempt_texts, RK_ARRAY_LEN(attempt_texts),
	    attempt_ints, RK_ARRAY_LEN(attempt_ints));
	if (!o.bad && (a->n <= after || a->n > last))
		rkj_fault(&o, "n", "is %lld, want %lld to %lld",
		    (long long)a->n, (long long)after + 1, (long long)last);
	rkj_close_lenient(&o);
}

struct key {
	char *key, *digest;
	int64_t at_ms;
};

static void
get_key(struct key *k, const json_t *v, size_t i, struct rk_why *why)
{
	struct rkj_obj o;
	char path[32];

	snprintf(path, sizeof(path), "keys[%zu]", i);
	rkj_open(&o, v, path, why);
	if (rkj_str(&o, "key", &k->key, KEY_MAX, RKJ_REQUIRED) &&
	    k->key[0] == '\0')
		rkj_fault(&o, "key", "is empty");
	rkj_str(&o, "digest", &k->digest, WORD_MAX, RKJ_REQUIRED);
	rkj_int(&o, "at", &k->at_ms, 0, NUMBER_MAX, RKJ_REQUIRED);
	rkj_close_lenient(&o);
}

struct record {
	struct job_row row;
	struct attempt_row at[ATTEMPTS_MAX];
	size_t n;
	struct key key[KEYS_MAX];
	size_t nkeys;
};

static void
record_free(struct record *c)
{
	store_job_fini(&c->row);
	for (size_t i = 0; i < c->n; i++)
		store_attempt_fini(&c->at[i]);
	for (size_t i = 0; i < c->nkeys; i++) {
		free(c->key[i].key);
		free(c->key[i].digest);
	}
	free(c);
}

static struct record *
record_parse(const json_t *v, struct rk_why *why)
{
	struct rk_why own = {0};
	struct record *c = xcalloc(1, sizeof(*c));
	struct rkj_obj o;
	int64_t version = 0;

	rkj_open(&o, v, "", &own);
	if (rkj_int(&o, "record", &version, 0, NUMBER_MAX, RKJ_REQUIRED) &&
	    version != RECORD_VERSION)
		rkj_fault(&o, "record", "is %lld, this rekindled reads %d",
		    (long long)version, RECORD_VERSION);
	if (!o.bad)
		get_row(&c->row, json_object_get(v, "row"), &own);
	const json_t *a = json_object_get(v, "attempts");
	if (own.n == 0 && (!json_is_array(a) ||
	    json_array_size(a) > ATTEMPTS_MAX))
		rkj_fault(&o, "attempts", "is no list of at most %d",
		    ATTEMPTS_MAX);
	for (size_t i = 0; own.n == 0 && i < json_array_size(a); i++) {
		int64_t after = i > 0 ? c->at[i - 1].n : 0;
		get_attempt(&c->at[c->n++], json_array_get(a, i), i, after,
		    c->row.attempt, &own);
	}
	const json_t *k = json_object_get(v, "keys");
	if (own.n == 0 && k != NULL && (!json_is_array(k) ||
	    json_array_size(k) > KEYS_MAX))
		rkj_fault(&o, "keys", "is no list of at most %d", KEYS_MAX);
	for (size_t i = 0; own.n == 0 && i < json_array_size(k); i++)
		get_key(&c->key[c->nkeys++], json_array_get(k, i), i, &own);
	rkj_close_lenient(&o);
	if (own.n > 0) {
		for (size_t i = 0; i < own.n; i++)
			rk_refuse_at(why, own.v[i].path, "%s",
			    own.v[i].message);
		record_free(c);
		c = NULL;
	}
	rk_why_fini(&own);
	return c;
}

/* The state of the row that makes room, or -1. */
static enum rk_err
old_state(struct store *s, const char *id, int *state)
{
	sqlite3_stmt *st = db_st(s, ST_JOB_OLD);

	*state = -1;
	db_text(st, 1, id);
	int got = sqlite3_step(st);
	if (got == SQLITE_ROW)
		*state = sqlite3_column_int(st, 1);
	enum rk_err rc = db_err(s, got, "read a job");
	sqlite3_reset(st);
	return rc == RK_OK && *state >= JOB_STATES ? RK_ECORRUPT : rc;
}

static enum rk_err
record_write(struct store *s, const struct record *c)
{
	enum rk_err rc = job_erase(s, c->row.id);

	if (rc == RK_OK)
		rc = job_insert(s, &c->row);
	for (size_t i = 0; i < c->n && rc == RK_OK; i++)
		rc = attempt_write(s, c->row.id, &c->at[i]);
	for (size_t i = 0; i < c->nkeys && rc == RK_OK; i++)
		rc = idem_take(s, c->key[i].key, c->key[i].digest, c->row.id,
		    c->key[i].at_ms);
	return rc;
}

enum rk_err
store_job_import(struct store *s, const json_t *record,
    const char *said_here, const struct store_note *note, struct rk_why *why)
{
	struct record *c = record_parse(record, why);
	int64_t seq = s->last_seq;
	int was = -1;

	if (c == NULL)
		return RK_EINVAL;
	c->row.said_here = xstrdup(said_here != NULL ? said_here : "");
	enum rk_err rc = db_begin(s);
	if (rc == RK_OK) {
		rc = old_state(s, c->row.id, &was);
		if (rc == RK_OK)
			rc = record_write(s, c);
		if (rc == RK_OK)
			rc = note_write(s, c->row.id, note, &seq);
		rc = db_end(s, rc);
	}
	if (rc == RK_OK) {
		if (was >= 0)
			s->counts[was]--;
		s->counts[c->row.state]++;
		s->last_seq = seq;
	}
	record_free(c);
	return rc;
}
