/*
 * A listing may leave out what was put lately; a name that is asked for does
 * not.  So nobody believes a listing that there is no claim behind his own, or
 * no base below it: the next numbers are asked for by name.
 */
#include <stdlib.h>

#include "impl.h"

#define CLAIMS_MAX 10000                /* asked for, one behind the other */
#define BASES_MAX  100                  /* that a listing may leave out */

/*
 * Where the right to list is for a prefix, S3 forbids what is not there.  Were
 * it there and not to be read, our claim could not be read back either.
 */
static bool
is_missing(const struct remote_result *r)
{
	return r->end == REMOTE_MISSING || r->hidden;
}

static void ask_claim(struct mirror *m);
static void ask_base(struct mirror *m);

/* --- claims, upwards ------------------------------------------------------ */

static void
claim_asked(void *ctx, const struct remote_result *r)
{
	struct mirror *m = ctx;

	must_be(m, MIRROR_TAG);
	if (is_missing(r)) {
		m->op = NULL;
		m->asked_then(m);
		return;
	}
	if (!step_good(m, r, "ask for the next claim"))
		return;
	if (++m->top - m->asked_low < CLAIMS_MAX)
		ask_claim(m);
	else
		go_again(m, "the store says of every claim that is asked for "
		    "that it is there");
}

static void
ask_claim(struct mirror *m)
{
	struct remote_patience pt = patience(30000);
	char *key;

	if (m->top >= NUMBER_TOP) {
		m->asked_then(m);
		return;
	}
	key = key_of(m, "epochs/", m->top + 1, ".json");
	m->op = remote_head(m->remote, key, &pt, claim_asked, m);
	free(key);
}

void
ask_claims(struct mirror *m, step_fn *then)
{
	m->asked_low = m->top;
	m->asked_then = then;
	ask_claim(m);
}

/* --- bases, downwards ----------------------------------------------------- */

static void
base_asked(void *ctx, const struct remote_result *r)
{
	struct mirror *m = ctx;

	must_be(m, MIRROR_TAG);
	if (is_missing(r)) {
		m->op = NULL;
		m->asked_n--;
		ask_base(m);
		return;
	}
	if (!step_good(m, r, "ask for a base"))
		return;
	m->b = m->asked_n;
	log_info("mirror: base %lld is there and was not listed",
	    (long long)m->b);
	m->asked_then(m);
}

static void
ask_base(struct mirror *m)
{
	struct remote_patience pt = patience(30000);
	char *key;

	if (m->asked_n <= m->asked_low) {
		m->asked_then(m);
		return;
	}
	key = key_of(m, "base/", m->asked_n, ".jsonl");
	m->op = remote_head(m->remote, key, &pt, base_asked, m);
	free(key);
}

void
ask_bases(struct mirror *m, int64_t above, int64_t low, step_fn *then)
{
	m->asked_n = above - 1;
	m->asked_low = RK_MAX(RK_MAX(m->b, low), above - 1 - BASES_MAX);
	/* Where claims leave gaps, no number is the next. */
	if (m->absent == MIRROR_ABSENT_BY_HEAD)
		m->asked_low = m->asked_n;
	m->asked_then = then;
	ask_base(m);
}
