/*
 * Routes of evaluations.jsonl, which the trainer writes: a line an evaluation,
 * with its number first, its figures, and the counts that the figures of the
 * classes are made of (src/train/judging.h).
 */
#include "impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rekindle/judge.h"

#define PAGE_DEFAULT 50
#define PAGE_MAX     500
#define FILE_MAX     ((size_t)16 << 20) /* as the bucket has it, at most */
#define PARSE_MAX    ((size_t)1 << 20)  /* bytes parsed for a page: one may be
                                           short, and have a next */
#define FIRST        "{\"evaluation\":"

/* A line of the file. */
struct line {
	const char *s;
	size_t n;
	int64_t number;
};

/* The line at *at, and *at behind it; false: there is no more.  What is no
 * evaluation has number 0. */
static bool
next_line(const char *text, size_t len, size_t *at, struct line *l)
{
	if (*at >= len)
		return false;
	const char *nl = memchr(text + *at, '\n', len - *at);
	*l = (struct line){ .s = text + *at,
		.n = nl != NULL ? (size_t)(nl - text) - *at : len - *at };
	*at += l->n + (nl != NULL);
	if (nl != NULL && l->n > strlen(FIRST) &&
	    memcmp(l->s, FIRST, strlen(FIRST)) == 0)
		l->number = strtoll(l->s + strlen(FIRST), NULL, 10);
	if (l->number < 0 || l->number > INT64_MAX / 2)
		l->number = 0;
	return true;
}

/* The whole file; NULL: refused, and answered, or (*len 0) there is none. */
static char *
read_file(struct req *q, size_t *len)
{
	char *text = NULL;
	char *path = xasprintf("%s/evaluations.jsonl", sup_job_dir(
	    q->api->sup, q->arg[0]));
	enum rk_err rc = rk_read_file(AT_FDCWD, path, FILE_MAX, &text, len);

	free(path);
	if (rc == RK_OK)
		return text;
	*len = 0;
	if (rc == RK_ENOENT || rc == RK_EINVAL)
		return xstrdup("");
	reply_problem(q, P_NOT_READY, "the evaluations cannot be read now: %s",
	    rk_strerror(rc));
	return NULL;
}

/* Its object, if it is one; a new reference. */
static json_t *
parse(const struct line *l)
{
	json_t *v = NULL;

	if (l->number < 1 || rkj_parse_json(l->s, l->n, &v, NULL) != RK_OK)
		return NULL;
	if (!json_is_object(v) || !json_is_object(json_object_get(v,
	    "metrics"))) {
		json_decref(v);
		return NULL;
	}
	return v;
}

static void
copy(json_t *to, const json_t *from, const char *key)
{
	json_t *v = json_object_get(from, key);

	if (v != NULL)
		must(json_object_set(to, key, v) == 0);
}

/* What an entry of the list has. */
static json_t *
head_of(const json_t *v)
{
	static const char *const keys[] = { "evaluation", "step", "epoch",
		"attempt", "branch", "time_ms", "metrics" };
	const json_t *counts = json_object_get(v, "counts");
	json_t *o = json_object();

	for (size_t i = 0; i < RK_ARRAY_LEN(keys); i++)
		copy(o, v, keys[i]);
	copy(o, counts, "rows");
	copy(o, counts, "skipped");
	return o;
}

/* --- the list ------------------------------------------------------------- */

static void
put_entry(struct req *q, const struct line *l, int *n)
{
	json_t *v = parse(l);

	if (v == NULL)
		return;
	json_t *head = head_of(v);
	char *text = rkj_text(head);
	sb_addf(&q->out, "%s%s", (*n)++ > 0 ? ",\n" : "", text);
	free(text);
	json_decref(head);
	json_decref(v);
}

void
h_evaluations(struct req *q)
{
	struct job_row r;
	struct line l;
	size_t len, at = 0, parsed = 0;
	bool more = false;
	int n = 0;

	if (!req_job(q, &r))
		return;
	store_job_fini(&r);
	int64_t last = query_after(&q->query, 0);
	const int limit = (int)query_int(&q->query, "limit", PAGE_DEFAULT, 1,
	    PAGE_MAX);
	if (req_refused(q, P_INVALID_QUERY))
		return;
	const int64_t after = last;
	char *text = read_file(q, &len);
	if (text == NULL)
		return;
	sb_adds(&q->out, "{\"evaluations\":[");
	while (!more && next_line(text, len, &at, &l)) {
		if (l.number <= after)
			continue;
		more = n == limit || (n > 0 && parsed > PARSE_MAX);
		if (more)
			break;
		put_entry(q, &l, &n);
		parsed += l.n;
		last = l.number;
	}
	free(text);
	put_next(&q->out, last, more);
	reply_json(q, 200);
}

/* --- one ------------------------------------------------------------------ */

/* Is it of this step?  Only a line with its digits is parsed: all of a long
 * file would hold up the loop. */
static bool
is_of_step(const struct line *l, int64_t step)
{
	char part[40];

	const int n = snprintf(part, sizeof(part), "\"step\":%lld",
	    (long long)step);
	if (memmem(l->s, l->n, part, (size_t)n) == NULL)
		return false;
	json_t *v = parse(l);
	const json_t *has = json_object_get(v, "step");
	const bool is = json_is_integer(has) &&
	    json_integer_value(has) == step;
	json_decref(v);
	return is;
}

/* Which one is meant: a number, the newest of a step, or the newest. */
static bool
is_meant(const char *name, const struct line *l)
{
	const bool by_step = strncmp(name, "step:", 5) == 0;
	const char *digits = by_step ? name + 5 : name;
	char *end;

	if (strcmp(name, "latest") == 0)
		return true;
	const int64_t n = strtoll(digits, &end, 10);
	if (end == digits || *end != '\0')
		return false;
	return by_step ? is_of_step(l, n) : l->number == n;
}

/* All of it: the head, and the report of the counts; NULL: they are of
 * nothing. */
static json_t *
whole_of(const json_t *v)
{
	struct judge *j = NULL;

	if (judge_parse(json_object_get(v, "counts"), &j, NULL) != RK_OK)
		return NULL;
	json_t *o = head_of(v), *report = judge_report(j, json_object_get(v,
	    "names"));
	judge_free(j);
	/* What the trainer measured, the loss among it, stays. */
	must(json_object_update_missing(o, report) == 0);
	copy(o, v, "counts");
	json_decref(report);
	return o;
}

void
h_evaluation(struct req *q)
{
	const char *name = q->arg[1];
	struct line l, found = { .n = 0 };
	struct job_row r;
	size_t len, at = 0;
	bool any = false;

	if (!req_job(q, &r))
		return;
	store_job_fini(&r);
	char *text = read_file(q, &len);
	if (text == NULL)
		return;
	while (next_line(text, len, &at, &l)) {
		any = any || l.number > 0;
		if (l.number > 0 && is_meant(name, &l))
			found = l;
	}
	json_t *v = parse(&found), *whole = v != NULL ? whole_of(v) : NULL;
	if (whole != NULL)
		reply_tree(q, 200, whole);
	else if (v != NULL)
		reply_problem(q, P_CORRUPT, "evaluation %s is damaged", name);
	else if (!any)
		reply_problem(q, P_NOT_FOUND, "there is no evaluation yet: one "
		    "is made at the end of each epoch, on validation data");
	else
		reply_problem(q, P_NOT_FOUND, "there is no evaluation \"%s\": "
		    "want a number of GET .../evaluations, step:N or latest",
		    name);
	json_decref(v);
	free(text);
}
