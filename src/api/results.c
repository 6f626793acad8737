/*
 * Routes of what a job of kind predict or evaluate leaves: its predictions, a
 * line a sample, and its report.  Where a machine took the job over they are
 * brought here from the bucket first, and the request waits.
 */
#include "impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAIL 65536              /* read at a time, from the end on */

/* Bytes of whole lines: the last one may be half there. */
static uint64_t
whole_lines(int fd, uint64_t size)
{
	char *buf = xcalloc(1, TAIL);

	while (size > 0) {
		const size_t want = (size_t)RK_MIN(size, (uint64_t)TAIL);
		const ssize_t got = pread(fd, buf, want, (off_t)(size - want));
		const char *nl = got == (ssize_t)want ?
		    memrchr(buf, '\n', want) : NULL;
		if (nl != NULL) {
			size -= want - (size_t)(nl + 1 - buf);
			break;
		}
		size = got == (ssize_t)want ? size - want : 0;
	}
	free(buf);
	return size;
}

/* What does not change any more has a name; a client that has it need not get
 * it again. */
static bool
is_known(struct req *q, const struct job_row *r, const struct stat *st)
{
	const char *known = req_header(q, "If-None-Match");

	if (!job_ended(r->state))
		return false;
	snprintf(q->etag, sizeof(q->etag), "\"%lld-%llx-%llx\"",
	    (long long)r->attempt, (unsigned long long)st->st_size,
	    (unsigned long long)st->st_mtim.tv_sec);
	return known != NULL && strstr(known, q->etag) != NULL;
}

static void
send_file(struct req *q, const struct job_row *r, const char *name, int fd)
{
	const bool lines = strcmp(name, SUP_PREDICTIONS) == 0;
	struct MHD_Response *a;
	struct file_part p;
	struct stat st;
	bool ok = true;

	if (fstat(fd, &st) != 0) {
		rk_close(&fd);
		reply_err(q, RK_EIO, NULL, "file");
		return;
	}
	if (is_known(q, r, &st)) {
		rk_close(&fd);
		reply_empty(q, 304);
		return;
	}
	p = (struct file_part){ .size = (uint64_t)st.st_size,
		.len = (uint64_t)st.st_size };
	if (lines)
		ok = file_part(q, whole_lines(fd, p.size), &p);
	if (!ok) {
		rk_close(&fd);
		return;
	}
	a = MHD_create_response_from_fd_at_offset64(p.len, fd, p.from);
	if (a == NULL) {
		rk_close(&fd);
		reply_err(q, RK_ENOMEM, NULL, "file");
		return;
	}
	file_headers(q, a, &p, lines ? "application/x-ndjson" :
	    "application/json");
}

static void
none_yet(struct req *q, const struct job_row *r, const char *what)
{
	if (sup_trains(r))
		reply_problem(q, P_NOT_FOUND, "job %s is of kind train: it has "
		    "no %s; its evaluations are at /v1/jobs/%s/evaluations",
		    r->id, what, r->id);
	else
		reply_problem(q, P_NOT_FOUND, "job %s is %s, and has no %s%s",
		    r->id, job_state_words[r->state], what,
		    job_ended(r->state) ? "" : " yet");
}

static const char *
what_is(const char *name)
{
	return strcmp(name, SUP_REPORT) == 0 ? "report" : "predictions";
}

static const char *
name_of(const struct req *q)
{
	return strcmp(q->route->op, "getReport") == 0 ? SUP_REPORT :
	    SUP_PREDICTIONS;
}

/* It is here, or to be had from nowhere. */
static void
reply_file(struct req *q, const struct job_row *r, const char *name)
{
	const int fd = sup_trains(r) ? -1 : lines_open(q->api, r->id, name);

	if (fd >= 0)
		send_file(q, r, name, fd);
	else if (errno == EMFILE || errno == ENFILE)
		reply_problem(q, P_NOT_READY, "the %s cannot be read now: %s",
		    what_is(name), strerror(errno));
	else
		none_yet(q, r, what_is(name));
}

static void
brought(void *ctx, enum rk_err rc, const struct rk_why *why)
{
	struct req *q = ctx;
	struct job_row r;

	must_be(q, REQ_TAG);
	q->bringing = false;
	if (rc != RK_OK) {
		reply_err(q, rc, why, what_is(name_of(q)));
	} else if (req_job(q, &r)) {
		reply_file(q, &r, name_of(q));
		store_job_fini(&r);
	}
	req_wake(q);
}

static void
reply_result(struct req *q)
{
	const char *name = name_of(q);
	struct job_row r;

	if (!req_job(q, &r))
		return;
	char *where = sup_trains(&r) ? NULL : sup_results(&r);
	const int fd = where != NULL ? lines_open(q->api, r.id, name) : -1;
	if (fd >= 0) {
		send_file(q, &r, name, fd);
	} else if (where != NULL) {
		q->bringing = true;
		ship_results(q->api->ship, r.id, brought, q);
		req_wait(q);
	} else {
		reply_file(q, &r, name);
	}
	free(where);
	store_job_fini(&r);
}

void
h_predictions(struct req *q)
{
	reply_result(q);
}

void
h_report(struct req *q)
{
	reply_result(q);
}
