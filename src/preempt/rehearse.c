/* What would make it, if a notice came now. */
#include <string.h>

#include "impl.h"

/* The ship's line about a job, or NULL. */
static json_t *
line_of(json_t *list, const char *id)
{
	json_t *v;
	size_t i;

	json_array_foreach(list, i, v) {
		const char *s = json_string_value(json_object_get(v, "id"));
		if (s != NULL && strcmp(s, id) == 0)
			return v;
	}
	return NULL;
}

static void
copy(json_t *to, const char *key, json_t *from, const char *from_key)
{
	json_t *v = json_object_get(from, from_key);

	must(json_object_set_new(to, key, v != NULL ? json_deep_copy(v) :
	    json_null()) == 0);
}

json_t *
preempt_rehearse(struct preempt *p, double seconds)
{
	json_t *mine = sup_drain_rehearse(p->sup), *job;
	json_t *theirs = p->ship != NULL ? ship_rehearse(p->ship, seconds) :
	    json_object();
	json_t *jobs = json_array(), *out;
	size_t i;

	must_be(p, PREEMPT_TAG);
	json_array_foreach(json_object_get(mine, "jobs"), i, job) {
		const char *id = json_string_value(json_object_get(job, "id"));
		json_t *s = line_of(json_object_get(theirs, "jobs"), id);
		json_t *line = json_deep_copy(job);
		double commit = json_number_value(json_object_get(job,
		    "commit_seconds"));
		copy(line, "upload_seconds", s, "seconds");
		copy(line, "have", s, "have");
		if (s != NULL && json_is_integer(json_object_get(s, "bytes")))
			copy(line, "bytes", s, "bytes");
		json_object_set_new(line, "local",
		    json_boolean(commit < seconds));
		json_object_set_new(line, "remote", json_boolean(s != NULL &&
		    json_is_true(json_object_get(s, "remote"))));
		json_array_append_new(jobs, line);
	}
	out = json_pack("{s:f, s:o}", "deadline_seconds", seconds, "jobs",
	    jobs);
	must(out != NULL);
	copy(out, "rate_bytes_per_second", theirs, "rate_bytes_per_second");
	json_decref(mine);
	json_decref(theirs);
	return out;
}
