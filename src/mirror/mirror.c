/* Opening, states, being lost, closing. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"

#define AGAIN_MS     1000               /* after a step that failed: doubled */
#define AGAIN_MAX_MS 30000
#define MISSES       3                  /* that may be chance */
#define LEAVE_MS     10000              /* for trainers of jobs that are lost */
#define WHO_MS       2000

const char *const mirror_state_words[] = {
	"claiming", "taking_over", "alone", "owner", "lost", NULL
};

/*                   epoch is ours, the newest base is another's
 *     CLAIMING ───────────────────────▶ TAKING ──┐
 *      │  │  └── base written ──────┐     │      │
 *      │  └─ start_wait ─▶ ALONE ───┼──▶ OWNER ◀─┘
 *      │     put-if-absent  │       │      │         a higher epoch, or our
 *      └──── is ignored ────┴───────┴──────┴─────▶ LOST   claim was replaced */
void
mirror_move(struct mirror *m, enum mirror_state to, const char *cause)
{
	if (m->state == to)
		return;
	log_info("mirror: %s -> %s (%s)", mirror_state_words[m->state],
	    mirror_state_words[to], cause);
	m->state = to;
	m->since_ms = now_ms();
}

/* --- steps ---------------------------------------------------------------- */

static void
step_timer_fn(void *ctx)
{
	struct mirror *m = ctx;

	must_be(m, MIRROR_TAG);
	must(m->op == NULL);
	m->step(m);
}

void
go_to(struct mirror *m, step_fn *step)
{
	m->step = step;
	loop_timer_at(m->step_timer, mono_ms());
}

void
go_again(struct mirror *m, const char *error)
{
	int64_t ms = AGAIN_MS << RK_MIN(m->fails, 5);
	uint32_t jitter;

	rk_random_bytes(&jitter, sizeof(jitter));
	ms = RK_MIN(ms, AGAIN_MAX_MS);
	if (m->fails++ == 0)
		log_warn("mirror: %s; tries again until it works", error);
	m->failing = NULL;
	free(m->error);
	m->error = rk_text_clean(xstrdup(error));
	loop_timer_at(m->step_timer, mono_ms() + ms / 2 +
	    (int64_t)(jitter % (uint32_t)ms) / 2);
}

void
go_back(struct mirror *m, step_fn *step, const char *error)
{
	m->op = NULL;
	go_to(m, step);
	if (++m->misses > MISSES)
		go_again(m, error);
}

void
went_well(struct mirror *m)
{
	if (m->fails > 0)
		log_info("mirror: it works again");
	m->fails = 0;
	m->failing = NULL;
	free(m->error);
	m->error = NULL;
}

bool
step_good(struct mirror *m, const struct remote_result *r, const char *doing)
{
	char *text;

	m->op = NULL;
	if (r->end == REMOTE_OK) {
		/* A base that is damaged stays so, however well it is read; a
		 * bucket that can be listed may yet not be written. */
		if (m->failing != NULL && strcmp(m->failing, doing) == 0)
			went_well(m);
		return true;
	}
	text = xasprintf("cannot %s: %s", doing, r->error[0] != '\0' ?
	    r->error : remote_end_words[r->end]);
	go_again(m, text);
	m->failing = doing;
	free(text);
	return false;
}

static bool
see_numbers(void *ctx, const struct remote_entry *v, size_t n)
{
	struct mirror *m = ctx;

	must_be(m, MIRROR_TAG);
	return numbers_see(&m->list, v, n);
}

void
step_list(struct mirror *m, const char *kind, const char *suffix,
    remote_done_fn *fn)
{
	struct remote_patience pt = patience(30000);
	char *dir = dir_of(m, kind);

	numbers_fini(&m->list);
	m->list.suffix = suffix;
	m->op = remote_list(m->remote, dir, suffix[0] == '/', see_numbers,
	    &pt, fn, m);
	free(dir);
}

/* --- lost ----------------------------------------------------------------- */

/* Who it was, as far as its claim can be read. */
static void
say_who(struct mirror *m, const struct remote_result *r)
{
	json_t *o = NULL;
	const char *host = NULL, *at = NULL;

	if (r->end == REMOTE_OK && rkj_parse_json(r->body, r->len, &o, NULL) ==
	    RK_OK) {
		host = json_string_value(json_object_get(o, "host"));
		at = json_string_value(json_object_get(o, "claimed_at"));
	}
	m->who = rk_text_clean(xasprintf("the jobs of instance \"%s\" were "
	    "taken over: epoch %lld%s%.200s%s%.40s, ours is %lld%s",
	    m->c.instance, (long long)m->higher, host != NULL ? " by " : "",
	    host != NULL ? host : "", at != NULL ? " at " : "",
	    at != NULL ? at : "", (long long)m->epoch, m->higher == m->epoch ?
	    ", and the claim under its key is not the one that we put" :
	    mirror_start_again(m) ? ", put before this directory went on "
	    "alone: started again, it takes them over" : ""));
	json_decref(o);
	log_error("mirror: %s", m->who);
	sup_event(m->sup, "", "taken_over", m->who, NULL);
	m->lost(m->lost_ctx, m->who);
}

static void
who_done(void *ctx, const struct remote_result *r)
{
	struct mirror *m = ctx;

	must_be(m, MIRROR_TAG);
	m->who_op = NULL;
	say_who(m, r);
}

void
mirror_lose(struct mirror *m, int64_t higher)
{
	struct remote_patience pt = patience(WHO_MS);
	char *key;

	if (m->state == MIRROR_LOST)
		return;
	m->higher = higher;
	mirror_move(m, MIRROR_LOST, higher > m->epoch ? "a higher epoch" :
	    higher == m->epoch ? "our claim was replaced" :
	    "another has gone on with the jobs meanwhile");
	loop_timer_off(m->step_timer);
	loop_timer_off(m->alone_timer);
	loop_timer_off(m->batch_timer);
	remote_cancel(&m->op);
	read_fini(m);
	search_fini(m);
	clean_fini(m);
	ship_stop(m->ship);
	sup_drain(m->sup, mono_ms() + LEAVE_MS, "taken_over", NULL, NULL);
	watch_ask(m);           /* nobody may delete any more */
	key = key_of(m, "epochs/", higher, ".json");
	m->who_op = remote_get(m->remote, key, CLAIM_MAX, &pt, who_done, m);
	free(key);
}

/* --- alone ---------------------------------------------------------------- */

bool
has_jobs(const struct mirror *m)
{
	int64_t n[JOB_STATES];
	bool any = false;

	if (store_counts(m->store, n) != RK_OK)
		return false;
	for (int i = 0; i < JOB_STATES; i++)
		any = any || n[i] > 0;
	return any;
}

static void
alone_timer_fn(void *ctx)
{
	struct mirror *m = ctx;

	must_be(m, MIRROR_TAG);
	/* Not when it is known that the newest base is another's. */
	if (m->state != MIRROR_CLAIMING || m->foreign || !has_jobs(m))
		return;
	m->alone = true;
	mirror_move(m, MIRROR_ALONE, m->error != NULL ? m->error :
	    "the bucket does not answer");
	sup_event(m->sup, "", "mirror", "goes on with the jobs of this "
	    "directory without the bucket, which cannot be reached", NULL);
	sup_go(m->sup, mine_top(m));
}

/* --- opening and closing -------------------------------------------------- */

static enum rk_err
check_config(struct mirror *m, struct rk_why *why)
{
	if (m->c.instance == NULL || !rk_name_ok(m->c.instance))
		return rk_refuse_at(why, "mirror.instance", "is \"%s\", want a "
		    "name of letters, digits, '.', '_' and '-'",
		    m->c.instance != NULL ? m->c.instance : "");
	if (m->c.prefix == NULL || m->c.prefix[0] == '\0')
		return rk_refuse_at(why, "mirror.prefix", "is missing");
	return remote_check(m->remote, m->c.prefix, why);
}

static void
copy_config(struct mirror *m, const struct mirror_config *c)
{
	m->c = *c;
	/* Said with its slash or without, it is the same place. */
	if (c->prefix != NULL)
		m->c.prefix = xasprintf("%s%s", c->prefix, c->prefix[0] == '\0'
		    || c->prefix[strlen(c->prefix) - 1] == '/' ? "" : "/");
	m->c.instance = c->instance != NULL ? xstrdup(c->instance) : NULL;
	if (m->c.check_ms <= 0)
		m->c.check_ms = 10000;
	if (m->c.batch_ms <= 0)
		m->c.batch_ms = 500;
	if (m->c.start_wait_ms <= 0)
		m->c.start_wait_ms = 30000;
}

/*
 * Below one prefix a job's checkpoints have one folder, and epochs are counted
 * by name: if what `a` left there went on as `b`, and `a` came again, both
 * would train the same jobs, and take each other's checkpoints away.
 */
static enum rk_err
open_mine(struct mirror *m, struct rk_why *why)
{
	char *other = NULL;
	enum rk_err rc = mine_load(m, &other);

	if (rc != RK_OK)
		(void)rk_refuse(why, "cannot read what this directory knows of "
		    "its mirror: %s", rk_strerror(rc));
	else if (other != NULL && has_jobs(m))
		rc = rk_refuse_at(why, "mirror.instance", "is \"%s\", and the "
		    "jobs of this directory are those of \"%s\" below the "
		    "same prefix, where they would be two machines' jobs: say "
		    "\"%s\", or a prefix of its own", m->c.instance, other,
		    other);
	free(other);
	return rc;
}

enum rk_err
mirror_open(struct mirror **mp, struct loop *l, struct remote *r,
    struct store *st, struct sup *su, struct ship *h,
    const struct mirror_config *c, mirror_lost_fn *lost, void *ctx,
    struct rk_why *why)
{
	struct mirror *m = xcalloc(1, sizeof(*m));
	enum rk_err rc;

	m->tag = MIRROR_TAG;
	m->loop = l;
	m->remote = r;
	m->store = st;
	m->sup = su;
	m->ship = h;
	m->lost = lost;
	m->lost_ctx = ctx;
	m->last = &m->first;
	m->since_ms = now_ms();
	copy_config(m, c);
	m->step_timer = loop_timer_add(l, step_timer_fn, m);
	m->alone_timer = loop_timer_add(l, alone_timer_fn, m);
	records_begin(m);
	watch_begin(m);
	rc = check_config(m, why);
	if (rc == RK_OK) {
		m->dir = xasprintf("%sinstances/%s/", m->c.prefix,
		    m->c.instance);
		rc = open_mine(m, why);
	}
	if (rc != RK_OK) {
		mirror_close(&m);
		*mp = NULL;
		return rc;
	}
	sup_listen(su, records_listen, m);
	ship_guard_set(h, watch_guard, m);
	ship_there_set(h, records_there, m);
	/* A machine that stood still has not asked for so long. */
	loop_timer_seen(m->alone_timer, loop_seen_ms(m->loop) +
	    m->c.start_wait_ms);
	go_to(m, step_probe);
	*mp = m;
	return RK_OK;
}

void
mirror_close(struct mirror **mp)
{
	struct mirror *m = *mp;

	if (m == NULL)
		return;
	must_be(m, MIRROR_TAG);
	if (m->dir != NULL) {
		sup_unlisten(m->sup, records_listen, m);
		ship_guard_set(m->ship, NULL, NULL);
		ship_there_set(m->ship, NULL, NULL);
	}
	remote_cancel(&m->op);
	remote_cancel(&m->who_op);
	read_fini(m);
	search_fini(m);
	clean_fini(m);
	watch_fini(m);
	records_fini(m);
	loop_timer_del(&m->step_timer);
	loop_timer_del(&m->alone_timer);
	numbers_fini(&m->list);
	base_fini(&m->base);
	free(m->asides);
	sb_fini(&m->out);
	json_decref(m->mine);
	free(m->text);
	free(m->claim_text);
	free(m->probe);
	free(m->dir);
	free(m->error);
	free(m->who);
	free((void *)(uintptr_t)m->c.prefix);
	free((void *)(uintptr_t)m->c.instance);
	m->tag = 0;
	free(m);
	*mp = NULL;
}

/* --- looks ---------------------------------------------------------------- */

bool
mirror_start_again(const struct mirror *m)
{
	must_be(m, MIRROR_TAG);
	return m->state == MIRROR_LOST && m->higher < m->epoch;
}

enum mirror_state
mirror_state(const struct mirror *m)
{
	must_be(m, MIRROR_TAG);
	return m->state;
}

enum mirror_absent
mirror_absent(const struct mirror *m)
{
	must_be(m, MIRROR_TAG);
	return m->absent;
}

json_t *
mirror_json(const struct mirror *m)
{
	char since[RK_TIME], *part = NULL;
	const char *error = m->state == MIRROR_LOST ? m->who : m->error;
	json_t *o;

	must_be(m, MIRROR_TAG);
	if (m->apart)
		part = apart_part(m);
	o = json_pack("{s:s, s:s, s:s, s:I, s:s, s:I, s:s, s:s?, s:s?}",
	    "state", mirror_state_words[m->state], "prefix", m->c.prefix,
	    "instance", m->c.instance, "epoch", (json_int_t)m->epoch, "since",
	    rk_time_text(since, m->since_ms), "unwritten",
	    (json_int_t)m->waiting_recs, "put_if_absent",
	    mirror_absent_words[m->absent], "part", part, "error", error);
	free(part);
	return o;
}
