/* What a drain of so many seconds would get done, without one. */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

struct part {
	json_t *job;                    /* what is shown of it */
	uint64_t bytes;
	double after;
	int64_t priority;
};

struct rehearsal {
	struct ship *h;
	struct part *v;
	size_t n;
};

static bool
is_listed(const struct rehearsal *a, const char *id)
{
	for (size_t i = 0; i < a->n; i++) {
		if (strcmp(json_string_value(json_object_get(a->v[i].job,
		    "id")), id) == 0)
			return true;
	}
	return false;
}

static void
add(struct rehearsal *a, const char *id, const struct jobinfo *j,
    uint64_t bytes, double after, const struct rows *there)
{
	json_t *o = json_pack("{s:s, s:s, s:I, s:I}", "id", id, "name",
	    j->name, "priority", (json_int_t)j->priority, "bytes",
	    (json_int_t)bytes);

	must(o != NULL);
	json_object_set_new(o, "have", there->n > 0 ?
	    json_string(there->v[0].dir) : json_null());
	a->v = xrealloc(a->v, (a->n + 1) * sizeof(*a->v));
	a->v[a->n++] = (struct part){ o, bytes, after, j->priority };
}

/* Its next checkpoint will be like its last: files that the last one found in
 * the bucket already will be there again. */
static uint64_t
like_last(const struct rows *there, uint64_t bytes)
{
	uint64_t own = 0;
	struct rfiles f;

	if (there->n == 0)
		return bytes;
	rfiles_parse(&f, there->v[0].files);
	for (int i = 0; i < f.n; i++) {
		if (starts_with(f.v[i].uri, there->v[0].uri))
			own += f.v[i].size;
	}
	rfiles_fini(&f);
	return RK_MIN(own, bytes);
}

/* Those that run: each will commit, and that is to be sent. */
static void
add_running(struct rehearsal *a)
{
	json_t *all = sup_drain_rehearse(a->h->sup), *o;
	size_t i;

	json_array_foreach(json_object_get(all, "jobs"), i, o) {
		const char *id = json_string_value(json_object_get(o, "id"));
		uint64_t bytes = (uint64_t)json_integer_value(
		    json_object_get(o, "bytes"));
		double after = json_number_value(json_object_get(o,
		    "commit_seconds"));
		struct jobinfo j;
		struct rows there;
		if (id == NULL || !job_look(a->h, id, &j))
			continue;
		if (j.prefix[0] != '\0') {
			rows_load(a->h, id, RS_THERE, &there);
			add(a, id, &j, like_last(&there, bytes), after,
			    &there);
			rows_fini(&there);
		}
		jobinfo_fini(&j);
	}
	json_decref(all);
}

/* Others with something that is not there yet: the newest of it. */
static void
add_waiting(struct rehearsal *a)
{
	struct rows rows, there;
	struct jobinfo j;

	rows_load(a->h, NULL, RS_TO_DO, &rows);
	for (size_t i = 0; i < rows.n; i++) {
		const struct remote_row *r = &rows.v[i];
		if (is_listed(a, r->job) || !job_look(a->h, r->job, &j))
			continue;
		rows_load(a->h, r->job, RS_THERE, &there);
		add(a, r->job, &j, row_left(a->h, r), 0, &there);
		rows_fini(&there);
		jobinfo_fini(&j);
	}
	rows_fini(&rows);
}

json_t *
ship_rehearse(struct ship *h, double seconds)
{
	struct rehearsal a = { .h = h };
	json_t *jobs = json_array(), *o;
	double rate = ship_rate(h);

	must_be(h, SHIP_TAG);
	add_running(&a);
	add_waiting(&a);
	struct plan_item *v = xcalloc(a.n + 1, sizeof(*v));
	for (size_t i = 0; i < a.n; i++)
		v[i] = (struct plan_item){ .priority = a.v[i].priority,
			.newest = true, .left = a.v[i].bytes,
			.after = a.v[i].after, .tag = i };
	plan_fit(v, a.n, rate, seconds);
	for (size_t i = 0; i < a.n; i++) {
		struct part *p = &a.v[v[i].tag];
		bool known = rate > 0 || p->bytes == 0;
		json_object_set_new(p->job, "seconds", known ?
		    json_real(rate > 0 ? (double)p->bytes / rate : 0) :
		    json_null());
		json_object_set_new(p->job, "remote",
		    json_boolean(known && v[i].fits));
		json_array_append_new(jobs, p->job);
	}
	o = json_pack("{s:o, s:o}", "rate_bytes_per_second", rate > 0 ?
	    json_real(rate) : json_null(), "jobs", jobs);
	must(o != NULL);
	free(v);
	free(a.v);
	return o;
}
