/*
 * checkpoint.json is there: the remote checkpoint exists.  Now every object is
 * asked for once more; when all agree, it is verified, and may be relied upon:
 * older ones may go, others may refer to its files.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define REPAIRS 3

static void ask(struct push *p, int from);

static void
done(struct push *p)
{
	struct ship *h = p->h;
	char step[RK_HUMAN], bytes[RK_HUMAN], rate[RK_HUMAN], job[RK_ID];
	double s = (double)RK_MAX(mono_ms() - p->begun_ms, 1) / 1000;
	struct jobinfo j;

	p->row.verified_ms = now_ms();
	row_set(&p->row.error, "");
	if (!push_save(p, RS_VERIFIED)) {
		push_fail_text(p, REMOTE_LOCAL, "the database cannot be "
		    "written");
		return;
	}
	h->verified++;
	trouble_over(h, p->row.uri);
	store_works(h, p->prefix, p->row.job);
	rk_group_digits(step, p->row.step);
	rk_human_bytes(bytes, p->row.bytes);
	rk_human_bytes(rate, (uint64_t)((double)p->sent / s));
	log_info("job=%s ship: %s is verified (%s, %.1f s)", p->row.job,
	    p->row.uri, bytes, s);
	json_t *data = json_pack("{s:s, s:s, s:I, s:I, s:f}", "checkpoint",
	    p->row.dir, "uri", p->row.uri, "bytes", (json_int_t)p->row.bytes,
	    "sent", (json_int_t)p->sent, "seconds", s);
	if (p->sent > 0)
		ship_event(h, p->row.job, "pushed", data, "step %s is in the "
		    "bucket: %s in %.1f s, %s/s", step, bytes, s, rate);
	else
		ship_event(h, p->row.job, "pushed", data, "step %s is in the "
		    "bucket: %s, which were there already", step, bytes);
	json_decref(data);
	memcpy(job, p->row.job, sizeof(job));
	push_free(p);
	if (job_look(h, job, &j)) {
		retain_job(h, job, &j);
		jobinfo_fini(&j);
	}
	scan_later(h, job);
	sup_supplied(h->sup);
	queue_kick(h);
}

/* Sent again where the local files are still there; else it does not count. */
static void
repair(struct push *p, const char *what)
{
	struct ship *h = p->h;

	if (!p->opened && !push_open(p)) {
		row_damaged(h, &p->row, what);
		push_free(p);
		queue_kick(h);
		return;
	}
	for (int i = 0; i < p->files.n; i++) {
		if (p->there[i] || push_own(p, i))
			continue;
		drop_referrers(p, &p->files.v[i]);      /* this one, too */
		push_free(p);
		queue_kick(h);
		return;
	}
	if (++p->rounds > REPAIRS) {
		push_fail_text(p, REMOTE_DAMAGED, what);
		return;
	}
	log_warn("job=%s ship: %s: %s; sent again", p->row.job, p->row.uri,
	    what);
	push_files(p);
}

static void
last_seen(void *ctx, const struct remote_result *r)
{
	struct push *p = ctx;
	bool all = true;

	must_be(p, PUSH_TAG);
	p->op = NULL;
	if (!result_known(r)) {
		push_fail(p, r);
		return;
	}
	for (int i = 0; i < p->files.n; i++)
		all = all && p->there[i];
	if (r->end != REMOTE_OK || r->len != strlen(p->row.info) ||
	    memcmp(r->body, p->row.info, r->len) != 0)
		repair(p, "checkpoint.json is not what was written");
	else if (!all)
		repair(p, "a file is missing, or has another length or digest");
	else
		done(p);
}

static void
note_seen(void *ctx, const struct remote_result *r)
{
	struct push *p = ctx;
	struct remote_patience pt = push_patience();

	must_be(p, PUSH_TAG);
	p->op = NULL;
	if (r->end == REMOTE_MISSING) {
		struct ship *h = p->h;
		row_damaged(h, &p->row, "remote.json is missing");
		push_free(p);
		queue_kick(h);
		return;
	}
	if (r->end != REMOTE_OK) {
		push_fail(p, r);
		return;
	}
	char *uri = push_uri(p, "checkpoint.json");
	p->op = remote_get(p->h->remote, uri, CKPT_JSON_MAX, &pt, last_seen,
	    p);
	free(uri);
}

static void
file_seen(void *ctx, const struct remote_result *r)
{
	struct push *p = ctx;

	must_be(p, PUSH_TAG);
	if (push_seen(p, r))
		ask(p, p->at + 1);
}

static void
ask(struct push *p, int from)
{
	struct remote_patience pt = push_patience();

	if (from < p->files.n) {
		p->at = from;
		p->op = remote_head(p->h->remote, p->files.v[from].uri, &pt,
		    file_seen, p);
		return;
	}
	char *uri = push_uri(p, "remote.json");
	p->op = remote_head(p->h->remote, uri, &pt, note_seen, p);
	free(uri);
}

void
push_remote(struct push *p)
{
	if (p->row.state != RS_REMOTE) {
		for (int i = 0; i < p->files.n; i++)
			p->there[i] = true;
		p->row.remote_ms = now_ms();
		p->h->pushed++;
		if (!push_save(p, RS_REMOTE)) {
			push_fail_text(p, REMOTE_LOCAL, "the database cannot "
			    "be written");
			return;
		}
	}
	ask(p, 0);
}
