/* One job: added, written back, read, deleted. */
#include <stdlib.h>
#include <string.h>

#include "db.h"

/* Columns 1..21 of table jobs, as ST_JOB_INSERT and ST_JOB_UPDATE number them;
 * `all`: those with an index, too. */
static void
bind_job(sqlite3_stmt *st, const struct job_row *r, bool all)
{
	must(r->memory <= INT64_MAX);
	db_text(st, 1, r->id);
	if (all) {
		db_text(st, 2, r->name);
		sqlite3_bind_int64(st, 3, r->priority);
		sqlite3_bind_int64(st, 4, r->state);
	}
	sqlite3_bind_int64(st, 5, r->desired);
	db_text(st, 6, r->reason);
	db_text(st, 7, r->message);
	db_text(st, 8, r->labels);
	sqlite3_bind_int64(st, 9, r->threads);
	sqlite3_bind_int64(st, 10, (int64_t)r->memory);
	sqlite3_bind_int64(st, 11, r->created_ms);
	sqlite3_bind_int64(st, 12, r->updated_ms);
	sqlite3_bind_int64(st, 13, r->started_ms);
	sqlite3_bind_int64(st, 14, r->ended_ms);
	sqlite3_bind_int64(st, 15, r->attempt);
	sqlite3_bind_int64(st, 16, r->failures);
	sqlite3_bind_int64(st, 17, r->not_before_ms);
	db_text(st, 18, r->resume_from);
	db_text(st, 19, r->progress);
	db_text(st, 20, r->plan_summary);
	sqlite3_bind_int64(st, 21, r->version);
	db_text(st, 22, r->known_dir);
	sqlite3_bind_int64(st, 23, r->known_step);
	sqlite3_bind_int64(st, 24, r->known_ms);
	sqlite3_bind_int64(st, 25, r->lost_steps);
	db_text(st, 26, r->accept);
	db_text(st, 27, r->said_here);
}

static enum rk_err
put_texts(struct store *s, enum st which, const struct job_row *r)
{
	sqlite3_stmt *st = db_st(s, which);

	db_text(st, 1, r->id);
	db_text(st, 2, r->spec);
	db_text(st, 3, r->plan);
	return db_do(s, which, "write a job's texts");
}

static enum rk_err
add_labels(struct store *s, const struct job_row *r)
{
	json_t *tree = NULL, *v;
	const char *key;
	enum rk_err rc = RK_OK;

	if (r->labels == NULL || r->labels[0] == '\0')
		return RK_OK;
	rc = rkj_parse_json(r->labels, strlen(r->labels), &tree, NULL);
	must(rc == RK_OK && json_is_object(tree));
	json_object_foreach(tree, key, v) {
		sqlite3_stmt *st = db_st(s, ST_LABEL_INSERT);
		must(json_is_string(v));
		db_text(st, 1, key);
		db_text(st, 2, json_string_value(v));
		sqlite3_bind_int64(st, 3, r->state);
		db_text(st, 4, r->id);
		rc = db_do(s, ST_LABEL_INSERT, "write a label");
		if (rc != RK_OK)
			break;
	}
	json_decref(tree);
	return rc;
}

enum rk_err
note_write(struct store *s, const char *job, const struct store_note *note,
    int64_t *seq)
{
	enum rk_err rc = RK_OK;

	if (note == NULL)
		return RK_OK;
	if (note->idem_key != NULL)
		rc = idem_insert(s, note->idem_key, note->idem_digest, job);
	if (rc == RK_OK && note->kind != NULL)
		rc = event_insert(s, job, note, seq);
	return rc;
}

enum rk_err
job_insert(struct store *s, const struct job_row *r)
{
	bind_job(db_st(s, ST_JOB_INSERT), r, true);
	enum rk_err rc = db_do(s, ST_JOB_INSERT, "add a job");

	if (rc == RK_OK)
		rc = put_texts(s, ST_TEXT_INSERT, r);
	return rc == RK_OK ? add_labels(s, r) : rc;
}

enum rk_err
job_erase(struct store *s, const char *id)
{
	/* texts, labels and attempts go with it by their foreign keys */
	db_text(db_st(s, ST_JOB_DELETE), 1, id);
	return db_do(s, ST_JOB_DELETE, "delete a job");
}

enum rk_err
store_job_add(struct store *s, struct job_row *r, const struct store_note *note)
{
	int64_t seq = s->last_seq;
	enum rk_err rc;

	rk_id_new(r->id);
	r->version = 1;
	r->created_ms = r->updated_ms = now_ms();
	if ((rc = db_begin(s)) != RK_OK)
		return rc;
	if ((rc = job_insert(s, r)) == RK_OK)
		rc = note_write(s, r->id, note, &seq);
	if ((rc = db_end(s, rc)) != RK_OK)
		return rc;
	s->counts[r->state]++;
	s->last_seq = seq;
	return RK_OK;
}

/* What the row was, as far as an index has it. */
struct old {
	enum job_state state;
	bool keys, labels;              /* these differ from r */
};

static enum rk_err
read_old(struct store *s, const struct job_row *r, struct old *o)
{
	sqlite3_stmt *st = db_st(s, ST_JOB_OLD);

	db_text(st, 1, r->id);
	enum rk_err rc = db_one(s, st, "read a job");
	if (rc == RK_OK && sqlite3_column_int64(st, 0) != r->version)
		rc = RK_ECONFLICT;
	if (rc == RK_OK) {
		int64_t state = sqlite3_column_int64(st, 1);
		if (state < 0 || state >= JOB_STATES)
			rc = RK_ECORRUPT;
		o->state = (enum job_state)state;
		o->keys = o->state != r->state ||
		    strcmp(db_col(st, 2), r->name) != 0 ||
		    sqlite3_column_int64(st, 3) != r->priority;
		o->labels = strcmp(db_col(st, 4), r->labels) != 0;
	}
	sqlite3_reset(st);
	return rc;
}

static enum rk_err
write_labels(struct store *s, const struct job_row *r, const struct old *o)
{
	enum rk_err rc;

	if (o->labels) {
		db_text(db_st(s, ST_LABELS_DELETE), 1, r->id);
		rc = db_do(s, ST_LABELS_DELETE, "drop labels");
		return rc == RK_OK ? add_labels(s, r) : rc;
	}
	if (o->state == r->state)
		return RK_OK;
	sqlite3_stmt *st = db_st(s, ST_LABELS_STATE);
	db_text(st, 1, r->id);
	sqlite3_bind_int64(st, 2, r->state);
	return db_do(s, ST_LABELS_STATE, "write a label's state");
}

static enum rk_err
write_keys(struct store *s, const struct job_row *r)
{
	sqlite3_stmt *st = db_st(s, ST_JOB_KEYS);

	db_text(st, 1, r->id);
	db_text(st, 2, r->name);
	sqlite3_bind_int64(st, 3, r->priority);
	sqlite3_bind_int64(st, 4, r->state);
	return db_do(s, ST_JOB_KEYS, "write a job's state");
}

static enum rk_err
step_once(struct store *s, struct job_row *r, const struct attempt_row *a,
    const struct store_note *note)
{
	struct old o = { 0 };
	int64_t seq = s->last_seq, was_ms = r->updated_ms;
	enum rk_err rc;

	if ((rc = db_begin(s)) != RK_OK)
		return rc;
	if ((rc = read_old(s, r, &o)) != RK_OK)
		return db_end(s, rc);
	r->version++;
	r->updated_ms = now_ms();
	bind_job(db_st(s, ST_JOB_UPDATE), r, false);
	rc = db_do(s, ST_JOB_UPDATE, "write a job");
	if (rc == RK_OK && o.keys)
		rc = write_keys(s, r);
	if (rc == RK_OK)
		rc = write_labels(s, r, &o);
	if (rc == RK_OK)
		rc = put_texts(s, ST_TEXT_UPDATE, r);
	if (rc == RK_OK && a != NULL)
		rc = attempt_write(s, r->id, a);
	if (rc == RK_OK)
		rc = note_write(s, r->id, note, &seq);
	if ((rc = db_end(s, rc)) != RK_OK) {
		r->version--;
		r->updated_ms = was_ms;
		return rc;
	}
	s->counts[o.state]--;
	s->counts[r->state]++;
	s->last_seq = seq;
	return RK_OK;
}

enum rk_err
store_job_step(struct store *s, struct job_row *r, const struct attempt_row *a,
    const struct store_note *note)
{
	enum rk_err rc = step_once(s, r, a, note);

	if (rc == RK_ENOSPC && reserve_give_up(s))
		rc = step_once(s, r, a, note);
	return rc;
}

enum rk_err
store_job_put(struct store *s, struct job_row *r, const struct store_note *note)
{
	return store_job_step(s, r, NULL, note);
}

static void
own(char **p)
{
	*p = xstrdup(*p);
}

enum rk_err
store_job_get(struct store *s, const char *id, struct job_row *out)
{
	sqlite3_stmt *st = db_st(s, ST_JOB_GET);

	memset(out, 0, sizeof(*out));
	db_text(st, 1, id);
	enum rk_err rc = db_one(s, st, "read a job");
	if (rc == RK_OK) {
		row_read(st, out);
		own(&out->name);
		own(&out->reason);
		own(&out->message);
		own(&out->spec);
		own(&out->labels);
		own(&out->resume_from);
		own(&out->progress);
		own(&out->plan);
		own(&out->plan_summary);
		own(&out->known_dir);
		own(&out->accept);
		own(&out->said_here);
	}
	sqlite3_reset(st);
	return rc;
}

enum rk_err
store_job_delete(struct store *s, const char *id, const struct store_note *note)
{
	int64_t seq = s->last_seq;
	struct job_row r;
	enum rk_err rc = store_job_get(s, id, &r);

	if (rc != RK_OK)
		return rc;
	enum job_state state = r.state;
	store_job_fini(&r);
	if (!job_ended(state))
		return RK_ECONFLICT;
	if ((rc = db_begin(s)) != RK_OK)
		return rc;
	rc = job_erase(s, id);
	if (rc == RK_OK) {
		db_text(db_st(s, ST_JOB_EVENTS_DELETE), 1, id);
		rc = db_do(s, ST_JOB_EVENTS_DELETE, "delete a job's events");
	}
	if (rc == RK_OK)
		rc = note_write(s, id, note, &seq);
	if ((rc = db_end(s, rc)) != RK_OK)
		return rc;
	s->counts[state]--;
	s->last_seq = seq;
	return RK_OK;
}
