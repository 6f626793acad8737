/*
 * A base: lines of JSON.
 *
 *	{"base": 1, "epoch": 8, "claim": "..."}
 *	{"record": {...}, "checkpoints": ["s3://.../step-000000100-e7/", ...],
 *	 "found": true, "epochs": [7]}
 *	{"deleted": ID, "at": 1795000000000}
 *	{"end": 2}
 *
 * `found` false: the list is that of an earlier base, and nobody has looked
 * since whether they are there.  `epochs`: checkpoints of these count as well;
 * of a job that was left aside, because its record could not be used or its
 * checkpoints not be looked for, or whose store this machine may not ask; it is
 * tried again at the next start.  The last
 * line counts those between: a base that was cut is none.  A line that cannot
 * be read is passed over.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define FORMAT   1
#define URI_MAX  4096
#define EPOCHS_MAX 1000

/* --- jobs by id ----------------------------------------------------------- */

static int
by_id(const void *a, const void *b)
{
	const struct bjob *x = a, *y = b;

	return strcmp(x->id, y->id);
}

struct bjob *
base_find(const struct base *b, const char *id)
{
	struct bjob key;

	if (b->n == 0)
		return NULL;
	snprintf(key.id, sizeof(key.id), "%s", id);
	return bsearch(&key, b->v, b->n, sizeof(*b->v), by_id);
}

static struct bjob *
append(struct base *b, const char *id)
{
	if (b->n == b->cap) {
		b->cap = RK_MAX(2 * b->cap, (size_t)16);
		b->v = xrealloc(b->v, b->cap * sizeof(*b->v));
	}
	struct bjob *j = &b->v[b->n++];
	*j = (struct bjob){ .version = 0 };
	snprintf(j->id, sizeof(j->id), "%s", id);
	return j;
}

struct bjob *
base_add(struct base *b, const char *id)
{
	struct bjob *j = append(b, id), new = *j;
	size_t i = b->n - 1;

	/* Records are listed by id, and new jobs have the highest. */
	while (i > 0 && strcmp(b->v[i - 1].id, id) > 0)
		i--;
	memmove(&b->v[i + 1], &b->v[i], (b->n - 1 - i) * sizeof(*b->v));
	b->v[i] = new;
	return &b->v[i];
}

static void
bjob_fini(struct bjob *j)
{
	json_decref(j->ckpts);
	json_decref(j->epochs);
	free(j->rec);
	free(j->refused);
}

void
base_fini(struct base *b)
{
	for (size_t i = 0; i < b->n; i++)
		bjob_fini(&b->v[i]);
	free(b->v);
	free(b->bad_why);
	*b = (struct base){ 0 };
}

/* --- reading -------------------------------------------------------------- */

static void
bad_line(struct base *b, size_t n, const char *why)
{
	if (b->bad++ == 0)
		b->bad_why = xasprintf("line %zu: %s", n, why);
}

/* The addresses that are some, in a list of our own. */
static json_t *
ckpts_of(const json_t *v)
{
	json_t *out = json_array();

	for (size_t i = 0; i < json_array_size(v) && i < CKPTS_MAX; i++) {
		const json_t *u = json_array_get(v, i);
		size_t n = json_string_length(u);
		if (n > 0 && n <= URI_MAX && strlen(json_string_value(u)) == n)
			json_array_append(out, json_array_get(v, i));
	}
	return out;
}

static bool
has_ended(const json_t *row)
{
	const char *s = json_string_value(json_object_get(row, "state"));

	for (int i = 0; s != NULL && i < JOB_STATES; i++) {
		if (strcmp(job_state_words[i], s) == 0)
			return job_ended((enum job_state)i);
	}
	return false;
}

/* What is wrong with the line, or NULL. */
static const char *
take_line(struct base *b, const json_t *o, size_t at, size_t len)
{
	const json_t *gone = json_object_get(o, "deleted");
	const json_t *row = json_object_get(json_object_get(o, "record"),
	    "row");
	const char *id = json_string_value(gone != NULL ? gone :
	    json_object_get(row, "id"));
	json_int_t version = json_integer_value(json_object_get(row,
	    "version"));

	if (id == NULL || !rk_id_ok(id))
		return "it has no id of a job";
	if (gone == NULL && (version < 1 || version >= GONE_VERSION))
		return "its record has no version";
	struct bjob *j = append(b, id);
	j->at = at;
	j->len = len;
	if (gone != NULL) {
		json_int_t ms = json_integer_value(json_object_get(o, "at"));
		j->gone = true;
		j->gone_ms = RK_MIN(RK_MAX(ms, 0), now_ms());
		return NULL;
	}
	j->version = version;
	j->ended = has_ended(row);
	j->unfound = json_is_false(json_object_get(o, "found"));
	j->ckpts = ckpts_of(json_object_get(o, "checkpoints"));
	if (json_array_size(json_object_get(o, "epochs")) <= EPOCHS_MAX)
		j->epochs = json_deep_copy(json_object_get(o, "epochs"));
	return NULL;
}

static json_t *
parse_line(const char *p, size_t len, struct rk_why *why)
{
	json_t *o = NULL;

	if (rkj_parse_json(p, len, &o, why) == RK_OK && !json_is_object(o)) {
		rk_refuse(why, "is no JSON object");
		json_decref(o);
		o = NULL;
	}
	return o;
}

static enum rk_err
take_head(struct base *b, const char *p, size_t len, struct rk_why *why)
{
	json_t *o = parse_line(p, len, why);
	const char *claim = json_string_value(json_object_get(o, "claim"));
	json_int_t epoch = json_integer_value(json_object_get(o, "epoch"));
	json_int_t format = json_integer_value(json_object_get(o, "base"));
	enum rk_err rc = RK_OK;

	if (o == NULL)
		rc = RK_EINVAL;
	else if (format > FORMAT)
		rc = rk_refuse(why, "was written by a newer rekindled "
		    "(format %lld, want %d)", (long long)format, FORMAT);
	else if (format != FORMAT || epoch < 1 || epoch > NUMBER_TOP ||
	    claim == NULL || !rk_id_ok(claim))
		rc = rk_refuse(why, "does not begin as a base");
	else
		memcpy(b->claim, claim, sizeof(b->claim));
	b->epoch = epoch;
	json_decref(o);
	return rc;
}

/* The last of two that are one job's goes. */
static void
sort(struct base *b)
{
	size_t n = 0;

	if (b->n > 0)
		qsort(b->v, b->n, sizeof(*b->v), by_id);
	for (size_t i = 0; i < b->n; i++) {
		if (n > 0 && strcmp(b->v[n - 1].id, b->v[i].id) == 0) {
			bad_line(b, 0, "a job is there twice");
			bjob_fini(&b->v[i]);
		} else {
			b->v[n++] = b->v[i];
		}
	}
	b->n = n;
}

static enum rk_err
take_lines(struct base *b, const char *text, size_t len, struct rk_why *why)
{
	size_t at = 0, lines = 0;
	json_int_t end = -1;

	while (at < len && end < 0) {
		const char *nl = memchr(text + at, '\n', len - at);
		size_t n = nl != NULL ? (size_t)(nl - (text + at)) : len - at;
		if (nl == NULL)
			break;
		if (lines == 0) {
			enum rk_err rc = take_head(b, text, n, why);
			if (rc != RK_OK)
				return rc;
		} else if (lines > JOBS_MAX) {
			(void)rk_refuse(why, "has more than %d jobs", JOBS_MAX);
			return RK_ELIMIT;
		} else {
			struct rk_why own = { 0 };
			json_t *o = parse_line(text + at, n, &own);
			const json_t *e = json_object_get(o, "end");
			const char *bad = NULL;
			if (o == NULL)
				bad_line(b, lines + 1, rk_why_first(&own));
			else if (e != NULL)
				end = json_integer_value(e);
			else if ((bad = take_line(b, o, at, n)) != NULL)
				bad_line(b, lines + 1, bad);
			json_decref(o);
			rk_why_fini(&own);
		}
		lines++;
		at += n + 1;
	}
	/* Neither head nor end counts. */
	if (end < 0 || (size_t)end + 2 != lines || at != len)
		return rk_refuse(why, "is cut off or damaged: it ends after "
		    "%zu line%s", lines, rk_s((int64_t)lines));
	return RK_OK;
}

enum rk_err
base_parse(struct base *b, const char *text, size_t len, struct rk_why *why)
{
	*b = (struct base){ 0 };
	enum rk_err rc = take_lines(b, text, len, why);
	if (rc == RK_OK)
		sort(b);
	else
		base_fini(b);
	return rc;
}

json_t *
bjob_record(const struct bjob *j, const char *text, struct rk_why *why)
{
	const char *p = j->rec != NULL ? j->rec : text + j->at;
	json_t *o = parse_line(p, j->rec != NULL ? j->rec_len : j->len, why);
	json_t *record = j->rec != NULL ? json_incref(o) :
	    json_incref(json_object_get(o, "record"));
	const char *id = json_string_value(json_object_get(json_object_get(
	    record, "row"), "id"));

	if (o != NULL && (id == NULL || strcmp(id, j->id) != 0)) {
		rk_refuse(why, "is not the record of job %s", j->id);
		json_decref(record);
		record = NULL;
	} else if (j->rec != NULL && record != NULL && json_integer_value(
	    json_object_get(json_object_get(record, "row"), "version")) !=
	    j->listed) {
		rk_refuse(why, "is of another version than its name says");
		json_decref(record);
		record = NULL;
	}
	json_decref(o);
	return record;
}

bool
bjob_names(const struct bjob *j, const char *folder)
{
	for (size_t i = 0; i < json_array_size(j->ckpts); i++) {
		if (strcmp(json_string_value(json_array_get(j->ckpts, i)),
		    folder) == 0)
			return true;
	}
	return false;
}

void
bjob_add(struct bjob *j, const char *folder)
{
	if (j->ckpts == NULL)
		j->ckpts = json_array();
	if (!bjob_names(j, folder) && json_array_size(j->ckpts) < CKPTS_MAX)
		json_array_append_new(j->ckpts, json_string(folder));
}

bool
bjob_epoch(const struct bjob *j, int64_t epoch)
{
	for (size_t i = 0; i < json_array_size(j->epochs); i++) {
		if (json_integer_value(json_array_get(j->epochs, i)) == epoch)
			return true;
	}
	return false;
}

/* --- writing -------------------------------------------------------------- */

static void
put(struct strbuf *b, json_t *o)
{
	must(o != NULL);
	char *s = rkj_text(o);
	sb_adds(b, s);
	sb_addc(b, '\n');
	free(s);
	json_decref(o);
}

void
base_put_head(struct strbuf *b, int64_t epoch, const char *claim)
{
	put(b, json_pack("{s:i, s:I, s:s, s:s, s:I}", "base", FORMAT, "epoch",
	    (json_int_t)epoch, "claim", claim, "version", REKINDLE_VERSION,
	    "at", (json_int_t)now_ms()));
}

/* Those whose checkpoints count as well, and one more. */
static json_t *
epochs_and(const struct bjob *j, int64_t epoch)
{
	json_t *v = j->epochs != NULL ? json_copy(j->epochs) : json_array();

	if (epoch > 0 && !bjob_epoch(j, epoch) &&
	    json_array_size(v) < EPOCHS_MAX)
		json_array_append_new(v, json_integer(epoch));
	return v;
}

void
base_put_job(struct strbuf *b, const json_t *record, json_t *ckpts,
    const struct bjob *not_found, int64_t epoch)
{
	json_t *o = json_pack("{s:O, s:o, s:b}", "record", record,
	    "checkpoints", ckpts, "found", not_found == NULL);

	if (o != NULL && not_found != NULL)
		json_object_set_new(o, "epochs", epochs_and(not_found, epoch));
	put(b, o);
}

void
base_put_gone(struct strbuf *b, const char *id, int64_t at_ms)
{
	put(b, json_pack("{s:s, s:I}", "deleted", id, "at",
	    (json_int_t)at_ms));
}

void
base_put_end(struct strbuf *b, size_t lines)
{
	put(b, json_pack("{s:I}", "end", (json_int_t)lines));
}

bool
base_put_aside(struct strbuf *b, const struct bjob *j, const char *text,
    int64_t epoch)
{
	struct bjob old = *j;
	json_t *record = j->rec != NULL || j->len > 0 ? bjob_record(j, text,
	    NULL) : NULL;
	const json_t *row;

	if (record == NULL && j->rec != NULL && j->len > 0) {
		old.rec = NULL;                 /* the older one will do */
		record = bjob_record(&old, text, NULL);
	}
	/* As base_parse() wants to have it. */
	row = json_object_get(record, "row");
	if (json_integer_value(json_object_get(row, "version")) < 1) {
		json_decref(record);
		return false;
	}
	put(b, json_pack("{s:o, s:o, s:b, s:o}", "record", record,
	    "checkpoints", j->ckpts != NULL ? json_copy(j->ckpts) :
	    json_array(), "found", false, "epochs", epochs_and(j, epoch)));
	return true;
}
