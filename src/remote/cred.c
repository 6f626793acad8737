/*
 * A source of keys: the newest set, and who waits for one.
 *
 * Temporary keys are fetched anew in the background, a while before they
 * expire; a fetch that fails is tried again, sooner as the end comes nearer,
 * and the old set serves as long as it is good.  Many who wait share one fetch.
 * Keys of a file are looked at again when they are asked for and some seconds
 * have passed, because others may have changed them.
 */
#include <stdlib.h>
#include <string.h>

#include "cred.h"

#define MINUTE_MS  60000
#define EARLY_MS   (15 * MINUTE_MS)     /* before the end, at most */
#define LOOK_MS    10000                /* at files */
#define SOON_MS    1000                 /* unasked, not sooner than this */
#define FAILED_MS  2000                 /* a failure is believed so long */
#define TRY_MIN_MS 5000
#define TRY_MAX_MS (5 * MINUTE_MS)

static char *
copy(const char *s)
{
	return s != NULL && *s != '\0' ? xstrdup(s) : NULL;
}

static void
wipe_free(char **s)
{
	if (*s != NULL)
		rk_wipe(*s, strlen(*s));
	free(*s);
	*s = NULL;
}

/* n, less up to a fifth of it, so that machines do not ask all at once. */
static int64_t
jitter(int64_t n)
{
	uint32_t r;

	rk_random_bytes(&r, sizeof(r));
	return n - (int64_t)((double)n / 5 * (r / 4294967296.0));
}

/* Milliseconds that the newest set is still good for. */
static int64_t
left_ms(const struct creds *cs)
{
	return cs->now->expires_ms == 0 ? INT64_MAX :
	    cs->now->expires_ms - now_ms();
}

/* Less than this, and it is not given to anybody before others were asked for;
 * keys that are short-lived anyway are used longer. */
static int64_t
last_ms(const struct creds *cs)
{
	return RK_MIN(MINUTE_MS, cs->granted_ms / 5);
}

static bool
usable(const struct creds *cs, int64_t left)
{
	return cs->now != NULL && !cs->refused &&
	    (left_ms(cs) >= left || mono_ms() < cs->stretch_ms);
}

/* --- who waits ----------------------------------------------------------- */

static void
answer_all(struct creds *cs, bool ok, const char *why)
{
	struct creds_wait *all = cs->waiting, *w;
	bool gone = false, *outer = cs->gone;

	/* Those who come meanwhile wait for the next. */
	cs->waiting = NULL;
	cs->answering = all;
	cs->gone = &gone;
	while ((w = cs->answering) != NULL) {
		cs->answering = w->next;
		struct creds_wait own = *w;
		free(w);
		own.fn(own.ctx, ok ? cred_ref(cs->now) : NULL, why);
		if (gone) {
			if (outer != NULL)
				*outer = true;
			return;
		}
	}
	cs->gone = outer;
}

static void
forget_in(struct creds_wait **wp, const void *ctx)
{
	while (*wp != NULL) {
		struct creds_wait *w = *wp;
		if (w->ctx == ctx) {
			*wp = w->next;
			free(w);
		} else {
			wp = &w->next;
		}
	}
}

void
creds_forget(struct creds *cs, void *ctx)
{
	must_be(cs, CREDS_TAG);
	forget_in(&cs->waiting, ctx);
	forget_in(&cs->answering, ctx);
}

/* --- fetching ------------------------------------------------------------ */

static void
begin(struct creds *cs)
{
	if (cs->fetch != NULL)
		return;
	cs->fetch = fetch_new(cs);
	fetch_start(cs->fetch);
}

static void
on_refresh(void *ctx)
{
	struct creds *cs = ctx;

	must_be(cs, CREDS_TAG);
	begin(cs);
}

static void
refresh_in(struct creds *cs, int64_t ms)
{
	loop_timer_at(cs->refresh, mono_ms() + ms);
}

/* Keys that have expired when they come are those of a metadata service in
 * trouble: the store may still take them, and there are no better. */
static void
took(struct creds *cs)
{
	int64_t left = left_ms(cs);

	cs->stretch_ms = 0;
	cs->granted_ms = left;
	loop_timer_off(cs->refresh);
	if (left == INT64_MAX)
		return;
	if (left > 0) {
		left -= jitter(RK_MIN(EARLY_MS, left / 5));
		refresh_in(cs, RK_MAX(left, SOON_MS));
		return;
	}
	int64_t wait = jitter(10 * MINUTE_MS);
	cs->stretch_ms = mono_ms() + wait;
	refresh_in(cs, wait);
	log_warn("remote: the credentials that were handed out have expired; "
	    "used all the same, asking again in %d min",
	    (int)(wait / MINUTE_MS));
}

static void
failed(struct creds *cs, char *why)
{
	free(cs->why);
	cs->why = why;
	cs->failed_ms = mono_ms();
	if (!usable(cs, 1)) {
		answer_all(cs, false, cs->why);
		return;
	}
	int64_t left = left_ms(cs);
	if (left != INT64_MAX) {
		int64_t wait = RK_MIN(RK_MAX(left / 5, TRY_MIN_MS),
		    TRY_MAX_MS);
		log_warn("remote: cannot renew credentials that are good for "
		    "%lld s more: %s", (long long)(left / 1000), why);
		refresh_in(cs, jitter(wait));
	}
	answer_all(cs, true, "");
}

void
creds_fetched(struct creds *cs, struct cred *c, bool file, char *why)
{
	must_be(cs, CREDS_TAG);
	cs->looked_ms = mono_ms();
	if (c == NULL) {
		failed(cs, why);
		return;
	}
	cred_unref(&cs->now);
	cs->now = c;
	cs->file = file;
	cs->refused = false;
	cs->failed_ms = 0;
	took(cs);
	answer_all(cs, true, "");
}

void
creds_get(struct creds *cs, creds_fn *fn, void *ctx)
{
	must_be(cs, CREDS_TAG);
	if (cs->kind == CRED_ANONYMOUS) {
		fn(ctx, NULL, "");
		return;
	}
	if (usable(cs, last_ms(cs))) {
		bool look = cs->file && mono_ms() - cs->looked_ms >= LOOK_MS;
		struct cred *c = cred_ref(cs->now);
		if (look)
			begin(cs);
		fn(ctx, c, "");
		return;
	}
	if (cs->failed_ms != 0 && mono_ms() - cs->failed_ms < FAILED_MS &&
	    cs->fetch == NULL) {
		bool ok = usable(cs, 1);
		fn(ctx, ok ? cred_ref(cs->now) : NULL, ok ? "" : cs->why);
		return;
	}
	struct creds_wait *w = xmalloc(sizeof(*w)), **end = &cs->waiting;
	*w = (struct creds_wait){ .fn = fn, .ctx = ctx };
	while (*end != NULL)
		end = &(*end)->next;
	*end = w;
	begin(cs);
}

void
creds_expired(struct creds *cs, const struct cred *old)
{
	must_be(cs, CREDS_TAG);
	if (cs->now == NULL || cs->kind == CRED_FIXED ||
	    strcmp(cs->now->id, old->id) != 0 ||
	    strcmp(cs->now->token, old->token) != 0 ||
	    strcmp(cs->now->secret, old->secret) != 0)
		return;         /* there are newer ones already */
	cs->refused = true;
	cs->failed_ms = 0;
}

/* --- the face ------------------------------------------------------------ */

struct creds *
creds_open(struct loop *l, struct http *h, const struct creds_config *c)
{
	struct creds *cs = xcalloc(1, sizeof(*cs));

	cs->tag = CREDS_TAG;
	cs->loop = l;
	cs->http = h;
	cs->oss = c->oss;
	cs->kind = c->kind;
	cs->profile = copy(c->profile);
	cs->region = copy(c->region);
	cs->metadata = copy(c->metadata_url);
	cs->refresh = loop_timer_add(l, on_refresh, cs);
	if (c->kind == CRED_FIXED)
		cs->now = cred_new(c->id, c->secret, c->token, 0);
	profile_places(cs);
	return cs;
}

static void
free_waiting(struct creds_wait *w)
{
	while (w != NULL) {
		struct creds_wait *next = w->next;
		free(w);
		w = next;
	}
}

void
creds_close(struct creds **cp)
{
	struct creds *cs = *cp;

	if (cs == NULL)
		return;
	must_be(cs, CREDS_TAG);
	*cp = NULL;
	if (cs->gone != NULL)
		*cs->gone = true;
	fetch_free(&cs->fetch);
	loop_timer_del(&cs->refresh);
	free_waiting(cs->waiting);
	free_waiting(cs->answering);
	cred_unref(&cs->now);
	char **all[] = { &cs->profile, &cs->region, &cs->metadata,
	    &cs->said_region, &cs->said_endpoint, &cs->why, &cs->session };
	for (size_t i = 0; i < RK_ARRAY_LEN(all); i++)
		wipe_free(all[i]);
	cs->tag = 0;
	free(cs);
}

const char *
creds_region(const struct creds *cs)
{
	return cs->said_region;
}

const char *
creds_endpoint(const struct creds *cs)
{
	return cs->said_endpoint;
}
