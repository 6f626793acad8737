/* Words and rows. */
#include <stdlib.h>
#include <string.h>

#include "db.h"

const char *const job_state_words[JOB_STATES + 1] = {
	"held", "queued", "starting", "running", "paused", "succeeded",
	"failed", "cancelled", NULL
};
const char *const job_desired_words[4] = { "run", "pause", "cancel", NULL };

bool
job_ended(enum job_state s)
{
	return s == JOB_SUCCEEDED || s == JOB_FAILED || s == JOB_CANCELLED;
}

void
store_job_fini(struct job_row *r)
{
	free(r->name);
	free(r->reason);
	free(r->message);
	free(r->spec);
	free(r->labels);
	free(r->resume_from);
	free(r->progress);
	free(r->plan);
	free(r->plan_summary);
	free(r->known_dir);
	free(r->accept);
	free(r->said_here);
	memset(r, 0, sizeof(*r));
}

void
store_attempt_fini(struct attempt_row *a)
{
	free(a->from);
	free(a->outcome);
	free(a->message);
	free(a->instance);
	memset(a, 0, sizeof(*a));
}

void
store_idem_fini(struct idem_row *r)
{
	free(r->digest);
	free(r->job);
	free(r->body);
	memset(r, 0, sizeof(*r));
}

void
row_read(sqlite3_stmt *st, struct job_row *r)
{
	int64_t state = sqlite3_column_int64(st, 3);
	int64_t desired = sqlite3_column_int64(st, 4);

	memset(r, 0, sizeof(*r));
	snprintf(r->id, sizeof(r->id), "%s", db_col(st, 0));
	r->name = db_lend(st, 1);
	r->priority = sqlite3_column_int64(st, 2);
	/* A number of no state can only come from a damaged page; a failed job
	 * is the state that nothing is begun from. */
	r->state = state >= 0 && state < JOB_STATES ?
	    (enum job_state)state : JOB_FAILED;
	r->desired = desired >= JOB_RUN && desired <= JOB_CANCEL ?
	    (enum job_desired)desired : JOB_RUN;
	r->reason = db_lend(st, 5);
	r->message = db_lend(st, 6);
	r->labels = db_lend(st, 7);
	r->threads = sqlite3_column_int64(st, 8);
	r->memory = (uint64_t)sqlite3_column_int64(st, 9);
	r->created_ms = sqlite3_column_int64(st, 10);
	r->updated_ms = sqlite3_column_int64(st, 11);
	r->started_ms = sqlite3_column_int64(st, 12);
	r->ended_ms = sqlite3_column_int64(st, 13);
	r->attempt = sqlite3_column_int64(st, 14);
	r->failures = sqlite3_column_int64(st, 15);
	r->not_before_ms = sqlite3_column_int64(st, 16);
	r->resume_from = db_lend(st, 17);
	r->progress = db_lend(st, 18);
	r->plan_summary = db_lend(st, 19);
	r->version = sqlite3_column_int64(st, 20);
	r->known_dir = db_lend(st, 21);
	r->known_step = sqlite3_column_int64(st, 22);
	r->known_ms = sqlite3_column_int64(st, 23);
	r->lost_steps = sqlite3_column_int64(st, 24);
	r->accept = db_lend(st, 25);
	r->said_here = db_lend(st, 26);
	r->spec = db_lend(st, 27);
	r->plan = db_lend(st, 28);
}
