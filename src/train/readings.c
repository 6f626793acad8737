/* What came of reading samples: see readings.h. */
#include <stdlib.h>

#include "feed.h"
#include "readings.h"

#define TOLD 8                  /* broken samples with an event of their own */

uint64_t
readings_bytes(const struct data_set *d)
{
	if (!feed_loads(d))
		return 0;
	return ((uint64_t)d->n + 7) / 8 + (data_knows_content(d) ? 0 :
	    (uint64_t)d->n * sizeof(uint64_t));
}

void
readings_open(struct readings *m, const struct data_set *d)
{
	*m = (struct readings){ .d = d };
	if (!feed_loads(d))
		return;
	if (!data_knows_content(d))
		m->known = xcalloc((size_t)d->n, sizeof(*m->known));
	m->broken = xcalloc(((size_t)d->n + 7) / 8, 1);
}

void
readings_close(struct readings *m)
{
	free(m->known);
	free(m->broken);
	free(m->first);
	*m = (struct readings){ 0 };
}

static const char *
side_of(const struct run *r, const struct data_set *d)
{
	return d == r->valid ? "validation" : "train";
}

/* --- changed -------------------------------------------------------------- */

/* Accepted: it is what it is from here on.  sentence: why it cannot be read, or
 * NULL. */
static bool
refuse_changed(struct run *r, const struct data_set *d, int64_t sample,
    const char *sentence)
{
	char *name = data_sample_name(d, sample);

	if (r->o->accept_data) {
		report_event(&r->rep, "data_changed", "data.%s: %s has changed "
		    "since it was first read, which was accepted",
		    side_of(r, d), name);
		r->exact.other_data = true;
	} else {
		json_t *details = json_pack("{s:s, s:o}", "side",
		    side_of(r, d), "sample", js_text(name));
		must(details != NULL);
		run_fail_waits(r, "data_changed", details, "the data have "
		    "changed: data.%s: %s is not what it was when it was first "
		    "read%s%s%s%s", side_of(r, d), name,
		    sentence != NULL ? " (" : "",
		    sentence != NULL ? sentence : "",
		    sentence != NULL ? ")" : "", r->rep.wire != NULL ? "" :
		    "; --accept data goes on with what there is now, --from "
		    "none begins anew");
	}
	free(name);
	return r->fail.reason == NULL;
}

/* What is wrong with a row, of those whose sentences were kept; or NULL. */
static const struct data_broken *
broken_at(const struct data_batch *b, int64_t row)
{
	for (int64_t i = 0; i < b->nbroken; i++)
		if (b->broken[i].row == row)
			return &b->broken[i];
	return NULL;
}

/*
 * Other bytes than those that were read first, or none that can be read where
 * there were some: whatever a decoder makes of them.  Where a reader knows by
 * itself it says so.
 */
static bool
has_changed(const struct readings *m, const struct data_batch *b, int64_t row,
    const struct data_broken *k)
{
	const uint64_t was = m->known != NULL ? m->known[b->which[row]] : 0;
	const uint64_t now = b->content[row];

	if (k != NULL && k->changed)
		return true;
	return was != 0 && was != now && (now != 0 ||
	    (b->left_out != NULL && b->left_out[row]));
}

static bool
check_changed(struct run *r, struct readings *m, const struct data_batch *b)
{
	for (int64_t i = 0; i < b->rows; i++) {
		const bool left = b->left_out != NULL && b->left_out[i];
		const struct data_broken *k = left ? broken_at(b, i) : NULL;
		if (has_changed(m, b, i, k) && !refuse_changed(r, m->d,
		    b->which[i], k != NULL ? k->sentence : NULL))
			return false;
		if (m->known != NULL && (b->content[i] != 0 || left))
			m->known[b->which[i]] = b->content[i];
	}
	return true;
}

/* --- broken --------------------------------------------------------------- */

static bool
is_marked(const struct readings *m, int64_t sample)
{
	return (m->broken[sample / 8] >> sample % 8 & 1) != 0;
}

/* A sample that is broken, and was not before. */
static void
note_broken(struct run *r, struct readings *m, int64_t sample,
    const struct data_broken *k, int64_t *count)
{
	m->broken[sample / 8] |= (uint8_t)(1 << sample % 8);
	++*count;
	if (m->first == NULL && !m->any && k != NULL)
		m->first = xstrdup(k->sentence);
	if (*count <= TOLD && k != NULL)
		report_warning(&r->rep, "broken_sample", "data.%s: %s; it is "
		    "skipped", side_of(r, m->d), k->sentence);
	else if (*count == TOLD + 1)
		report_warning(&r->rep, "broken_sample", "more samples are "
		    "broken: `broken` in the metrics counts them");
}

static bool
refuse_all(struct run *r, const struct readings *m)
{
	return same_wait(r) && run_fail(r, "bad_data", true, "data.%s: none of "
	    "%s%lld sample%s can be read, the first: %s", side_of(r, m->d),
	    m->none < m->d->n ? "the first " : "", (long long)m->none,
	    rk_s(m->none), m->first != NULL ? m->first : "is broken");
}

/* By data.broken: skip. */
static bool
skip_broken(struct run *r, struct readings *m, const struct data_batch *b,
    int64_t *count)
{
	for (int64_t i = 0; i < b->rows; i++) {
		const int64_t sample = b->which[i];
		if (b->left_out == NULL || !b->left_out[i]) {
			m->any = true;
			continue;
		}
		if (is_marked(m, sample))
			continue;
		note_broken(r, m, sample, broken_at(b, i), count);
		if (!m->any && ++m->none == RK_MIN(m->d->n, READINGS_NONE))
			return refuse_all(r, m);
	}
	return true;
}

bool
readings_take(struct run *r, struct readings *m, const struct data_batch *b,
    int64_t *count)
{
	if (!check_changed(r, m, b))
		return false;
	if (b->nleft == 0) {
		m->any = true;
		return true;
	}
	/* Other data may be why. */
	if (r->spec->data.broken == SPEC_BROKEN_FAIL)
		return same_wait(r) && run_fail(r, "bad_data", true,
		    "data.%s: %s; data.broken: skip goes on without it",
		    side_of(r, m->d), b->broken[0].sentence);
	return skip_broken(r, m, b, count);
}
