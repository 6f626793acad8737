/*
 * A look: is ours the highest epoch, and is its claim still the one that we
 * put?
 *
 *	list epochs/       a higher one: lost
 *	get epochs/N       another's: lost.  Where put-if-absent is not to be
 *	                   relied upon, two may have put it (PROTOCOL); by bytes,
 *	                   for ETags are not the same in all stores at all times
 *	get epochs/N+1     it is there: lost.  Lists may lag, and who claims next
 *	                   claims this one
 *
 * A claim that is gone though no higher one is there is put again: whoever
 * empties a bucket under a daemon that runs would have the next one begin beside
 * it.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define LOOK_MS 20000

static void start_look(struct mirror *m);
static void get_claim(struct mirror *m);

/* --- the end -------------------------------------------------------------- */

static void
end(struct mirror *m, enum look found)
{
	struct waiter *w = m->looking, *next;

	m->looking = NULL;
	if (found == LOOK_FINE)
		m->checked_ms = mono_ms();
	if (m->state == MIRROR_LOST)
		found = LOOK_HIGHER;
	for (; w != NULL; w = next) {
		next = w->next;
		w->fn(w->ctx, found);
		free(w);
	}
	if (m->waiting != NULL && m->look_op == NULL)
		start_look(m);
}

static void
end_higher(struct mirror *m, int64_t epoch)
{
	mirror_lose(m, epoch);
	end(m, LOOK_HIGHER);
}

static void
end_unknown(struct mirror *m, const struct remote_result *r, const char *doing)
{
	free(m->look_error);
	m->look_error = xasprintf("cannot %s: %s", doing, r->error[0] != '\0' ?
	    r->error : remote_end_words[r->end]);
	end(m, LOOK_UNKNOWN);
}

/* --- the next epoch ------------------------------------------------------- */

static void
put_again(void *ctx, const struct remote_result *r)
{
	struct mirror *m = ctx;

	must_be(m, MIRROR_TAG);
	m->look_op = NULL;
	if (r->end == REMOTE_OK) {
		log_warn("mirror: our claim, epoch %lld, was gone, and is put "
		    "again; if what we wrote of jobs is gone as well, start "
		    "rekindled again on this directory: it puts all of it "
		    "there", (long long)m->epoch);
		end(m, LOOK_FINE);
	} else if (r->end == REMOTE_EXISTS) {
		get_claim(m);
	} else {
		end_unknown(m, r, "put our claim again");
	}
}

static void
put_claim(struct mirror *m)
{
	struct remote_patience pt = patience(LOOK_MS);
	char *key = key_of(m, "epochs/", m->epoch, ".json");

	m->look_op = remote_put(m->remote, key, m->claim_text,
	    strlen(m->claim_text), true, &pt, put_again, m);
	free(key);
}

static void
next_got(void *ctx, const struct remote_result *r)
{
	struct mirror *m = ctx;

	must_be(m, MIRROR_TAG);
	m->look_op = NULL;
	if (r->end == REMOTE_OK || r->too_large)
		end_higher(m, m->epoch + 1);
	else if (r->end != REMOTE_MISSING && !r->hidden)
		end_unknown(m, r, "ask for the next epoch");
	else if (m->claim_gone)
		put_claim(m);
	else
		end(m, LOOK_FINE);
}

static void
get_next(struct mirror *m)
{
	struct remote_patience pt = patience(LOOK_MS);
	char *key = key_of(m, "epochs/", m->epoch + 1, ".json");

	m->asked_ms = watch_clock();
	m->look_op = remote_get(m->remote, key, CLAIM_MAX, &pt, next_got, m);
	free(key);
}

/* --- our own -------------------------------------------------------------- */

static void
claim_got(void *ctx, const struct remote_result *r)
{
	struct mirror *m = ctx;

	must_be(m, MIRROR_TAG);
	m->look_op = NULL;
	m->claim_gone = r->end == REMOTE_MISSING;
	if (m->claim_gone || (r->end == REMOTE_OK && claim_is_ours(m, r)))
		get_next(m);
	else if (r->end == REMOTE_OK || r->too_large)
		end_higher(m, m->epoch);
	else
		end_unknown(m, r, "read our claim");
}

static void
get_claim(struct mirror *m)
{
	struct remote_patience pt = patience(LOOK_MS);
	char *key = key_of(m, "epochs/", m->epoch, ".json");

	m->look_op = remote_get(m->remote, key, CLAIM_MAX, &pt, claim_got, m);
	free(key);
}

/* --- the list ------------------------------------------------------------- */

static bool
see_numbers(void *ctx, const struct remote_entry *v, size_t n)
{
	struct mirror *m = ctx;

	must_be(m, MIRROR_TAG);
	return numbers_see(&m->look_list, v, n);
}

static void
listed(void *ctx, const struct remote_result *r)
{
	struct mirror *m = ctx;
	int64_t top;

	must_be(m, MIRROR_TAG);
	m->look_op = NULL;
	top = numbers_top(&m->look_list);
	numbers_fini(&m->look_list);
	if (r->end != REMOTE_OK)
		end_unknown(m, r, "list the epochs");
	else if (top > m->epoch)
		end_higher(m, top);
	else
		get_claim(m);
}

static void
start_look(struct mirror *m)
{
	struct remote_patience pt = patience(LOOK_MS);
	char *dir = dir_of(m, "epochs/");

	m->looking = m->waiting;
	m->waiting = NULL;
	m->look_list.suffix = ".json";
	m->look_op = remote_list(m->remote, dir, false, see_numbers, &pt,
	    listed, m);
	free(dir);
}

/* A look that began before the question is no answer to it. */
void
watch_look(struct mirror *m, look_fn *fn, void *ctx)
{
	struct waiter *w = xcalloc(1, sizeof(*w));

	*w = (struct waiter){ m->waiting, fn, ctx };
	m->waiting = w;
	if (m->look_op == NULL)
		start_look(m);
}

static void
drop(struct waiter *w)
{
	struct waiter *next;

	for (; w != NULL; w = next) {
		next = w->next;
		free(w);
	}
}

void
look_fini(struct mirror *m)
{
	remote_cancel(&m->look_op);
	numbers_fini(&m->look_list);
	free(m->look_error);
	drop(m->waiting);
	drop(m->looking);
	m->waiting = m->looking = NULL;
}
