/*
 * Steps 1 and 2: an epoch of our own, then the newest base; and whether that
 * one is ours.
 *
 * The database's fact `mirror` has {prefix, instance, dirname, mine: [[epoch,
 * claim], ...]}: the bases that this directory made and has gone on from since.
 * Under another prefix or name it has made none.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"

#define FACT       "mirror"
#define MINE_MAX   64
#define COLLISIONS 200                  /* others were quicker */
#define HOST_MAX   256
#define GAP        1000000u             /* to the next epoch, at most */

/* --- mine ----------------------------------------------------------------- */

bool
mine_has(const struct mirror *m, int64_t epoch, const char *claim)
{
	for (size_t i = 0; i < json_array_size(m->mine); i++) {
		const json_t *e = json_array_get(m->mine, i);
		const char *c = json_string_value(json_array_get(e, 1));
		if (json_integer_value(json_array_get(e, 0)) == epoch &&
		    c != NULL && strcmp(c, claim) == 0)
			return true;
	}
	return false;
}

bool
mine_made(const struct mirror *m, int64_t epoch)
{
	for (size_t i = 0; i < json_array_size(m->mine); i++) {
		if (json_integer_value(json_array_get(json_array_get(m->mine,
		    i), 0)) == epoch)
			return true;
	}
	return false;
}

int64_t
mine_top(const struct mirror *m)
{
	int64_t top = 0;

	for (size_t i = 0; i < json_array_size(m->mine); i++)
		top = RK_MAX(top, json_integer_value(json_array_get(
		    json_array_get(m->mine, i), 0)));
	return top;
}

static bool
is(const json_t *o, const char *key, const char *text)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL && strcmp(s, text) == 0;
}

/*
 * The newest base is epoch's, and cannot be had.  If this directory made it,
 * and has gone on from it since, what is here is what it said, and more.
 */
bool
own_base(struct mirror *m, int64_t epoch, const char *fault)
{
	if (epoch != mine_top(m))
		return false;
	if (m->told_base != epoch) {
		char *text = xasprintf("base/%010lld.jsonl %s; it was made "
		    "from this directory, which goes on with what it has and "
		    "puts all of it into the bucket again", (long long)epoch,
		    fault);
		m->told_base = epoch;
		log_warn("mirror: %s", text);
		sup_event(m->sup, "", "mirror", text, NULL);
		free(text);
	}
	base_fini(&m->base);
	m->base.epoch = m->b = epoch;
	m->foreign = false;
	return true;
}

char *
no_base_text(const struct mirror *m, int64_t epoch, const char *fault)
{
	return xasprintf("base/%010lld.jsonl %s, and nobody but the directory "
	    "that made it knows the jobs of epoch %lld without it: start "
	    "rekindled on that directory (epochs/ says on which host), or put "
	    "the object back, or remove %s to begin without these jobs",
	    (long long)epoch, fault, (long long)epoch, m->dir);
}

enum rk_err
mine_load(struct mirror *m, char **other)
{
	char *text = NULL;
	json_t *o = NULL;
	enum rk_err rc = store_fact_get(m->store, FACT, &text);
	const char *name;

	*other = NULL;
	m->mine = json_array();
	rk_id_new(m->dirname);
	if (rc == RK_ENOENT)
		return RK_OK;
	if (rc == RK_OK && rkj_parse_json(text, strlen(text), &o, NULL) ==
	    RK_OK) {
		name = json_string_value(json_object_get(o, "dirname"));
		if (name != NULL && rk_id_ok(name))
			memcpy(m->dirname, name, sizeof(m->dirname));
		if (is(o, "prefix", m->c.prefix) &&
		    is(o, "instance", m->c.instance) &&
		    json_is_array(json_object_get(o, "mine"))) {
			json_decref(m->mine);
			m->mine = json_incref(json_object_get(o, "mine"));
		} else if (is(o, "prefix", m->c.prefix) &&
		    (name = json_string_value(json_object_get(o, "instance")))
		    != NULL && strcmp(name, m->c.instance) != 0) {
			*other = xstrdup(name);
		}
	}
	json_decref(o);
	free(text);
	return rc;
}

enum rk_err
name_save(struct mirror *m)
{
	json_t *o = json_pack("{s:s, s:s, s:s, s:O}", "prefix", m->c.prefix,
	    "instance", m->c.instance, "dirname", m->dirname, "mine",
	    m->mine);
	char *text = rkj_text(o);
	enum rk_err rc = store_fact_put(m->store, FACT, text);
	free(text);
	json_decref(o);
	return rc;
}

enum rk_err
mine_save(struct mirror *m, bool anew)
{
	if (anew)
		json_array_clear(m->mine);
	if (!mine_has(m, m->epoch, m->claim)) {
		json_array_append_new(m->mine, json_pack("[I, s]",
		    (json_int_t)m->epoch, m->claim));
		/* Those below the newest base will not be asked for again. */
		while (json_array_size(m->mine) > MINE_MAX)
			json_array_remove(m->mine, 0);
	}
	return name_save(m);
}
/* --- the newest base ------------------------------------------------------ */

static void beaten(struct mirror *m);

static void
base_got(void *ctx, const struct remote_result *r)
{
	struct mirror *m = ctx;
	struct rk_why why = { 0 };
	char *text;

	must_be(m, MIRROR_TAG);
	if (r->end == REMOTE_MISSING) {         /* cleaned behind a newer one */
		text = xasprintf("base/%010lld.jsonl is listed and cannot be "
		    "read: %s", (long long)m->b, r->error);
		go_back(m, step_claim, text);
		free(text);
		return;
	}
	if (!step_good(m, r, "read the newest base"))
		return;
	base_fini(&m->base);
	free(m->text);
	m->text = xmalloc(r->len + 1);
	memcpy(m->text, r->body, r->len);
	m->text[r->len] = '\0';
	m->text_len = r->len;
	if (base_parse(&m->base, m->text, m->text_len, &why) != RK_OK ||
	    m->base.epoch != m->b) {
		char *fault = xasprintf("cannot be used (%s)", why.n > 0 ?
		    rk_why_first(&why) : "it is of another epoch");
		base_fini(&m->base);
		if (own_base(m, m->b, fault)) {
			go_to(m, step_read);
		} else {
			text = no_base_text(m, m->b, fault);
			go_again(m, text);
			free(text);
		}
		free(fault);
	} else {
		m->misses = 0;
		m->foreign = !mine_has(m, m->b, m->base.claim);
		if (m->foreign && m->b == m->epoch)
			beaten(m);      /* two claimed it, and that one began */
		else
			go_to(m, step_read);
	}
	rk_why_fini(&why);
}

static void
get_base(struct mirror *m)
{
	struct remote_patience pt = patience(120000);
	char *key = key_of(m, "base/", m->b, ".jsonl");

	m->op = remote_get(m->remote, key, REMOTE_SMALL, &pt, base_got, m);
	free(key);
}

static void
newest_known(struct mirror *m)
{
	if (m->b > 0)
		get_base(m);
	else
		go_to(m, step_read);
}

static void
bases_listed(void *ctx, const struct remote_result *r)
{
	struct mirror *m = ctx;

	must_be(m, MIRROR_TAG);
	if (!step_good(m, r, "list the bases"))
		return;
	m->b = numbers_top(&m->list);
	base_fini(&m->base);
	m->foreign = false;
	if (m->b > m->epoch)
		mirror_lose(m, m->b);
	else
		ask_bases(m, m->epoch, 0, newest_known);
}

static void
step_bases(struct mirror *m)
{
	step_list(m, "base/", ".jsonl", bases_listed);
}

/* --- the claim ------------------------------------------------------------ */

/* By its bytes: they have the claim's random word. */
bool
claim_is_ours(const struct mirror *m, const struct remote_result *r)
{
	return r->len == strlen(m->claim_text) && memcmp(r->body,
	    m->claim_text, r->len) == 0;
}

/* Somebody was quicker; not in step with them again. */
static void
beaten(struct mirror *m)
{
	uint32_t jitter;

	m->op = NULL;
	m->epoch = 0;
	m->step = step_claim;
	rk_random_bytes(&jitter, sizeof(jitter));
	loop_timer_at(m->step_timer, mono_ms() + (int64_t)(jitter %
	    (uint32_t)(20 * RK_MIN(RK_MAX(m->collisions, 1), 20))));
}

/* Where two can put it, the last one has it. */
static void
claim_got(void *ctx, const struct remote_result *r)
{
	struct mirror *m = ctx;

	must_be(m, MIRROR_TAG);
	if (r->end == REMOTE_MISSING) {
		go_back(m, step_claim, "our claim was put, and cannot be "
		    "read");
	} else if (r->too_large || (r->end == REMOTE_OK &&
	    !claim_is_ours(m, r))) {
		log_warn("mirror: epoch %lld was claimed by two at once",
		    (long long)m->epoch);
		m->collisions++;
		beaten(m);
	} else if (step_good(m, r, "read our claim")) {
		m->misses = 0;
		m->claim_read = true;
		log_info("mirror: instance \"%s\", epoch %lld",
		    m->c.instance, (long long)m->epoch);
		go_to(m, step_bases);
	}
}

static void
step_read_claim(struct mirror *m)
{
	struct remote_patience pt = patience(30000);
	char *key = key_of(m, "epochs/", m->epoch, ".json");

	m->op = remote_get(m->remote, key, CLAIM_MAX, &pt, claim_got, m);
	free(key);
}

static char *
boot_id(void)
{
	char *text = NULL;
	size_t n = 0;

	if (rk_read_file(-1, "/proc/sys/kernel/random/boot_id", 256, &text,
	    &n) != RK_OK)
		return xstrdup("");
	text[strcspn(text, "\n")] = '\0';
	return rk_text_clean(text);
}

static char *
claim_text(const struct mirror *m)
{
	char host[HOST_MAX] = "", at[RK_TIME], *boot = boot_id(), *text;

	(void)!gethostname(host, sizeof(host) - 1);
	json_t *o = json_pack("{s:I, s:s, s:s, s:s, s:i, s:s, s:s, s:s}",
	    "epoch", (json_int_t)m->epoch, "claim", m->claim, "state",
	    m->dirname, "host", rk_text_clean(host), "pid", (int)getpid(),
	    "boot", boot, "claimed_at", rk_time_text(at, now_ms()), "version",
	    REKINDLE_VERSION);
	must(o != NULL);
	text = rkj_pretty(o);
	json_decref(o);
	free(boot);
	return text;
}

static void
claim_put(void *ctx, const struct remote_result *r)
{
	struct mirror *m = ctx;

	must_be(m, MIRROR_TAG);
	if (r->end == REMOTE_EXISTS && m->collisions++ < COLLISIONS)
		beaten(m);
	else if (step_good(m, r, "claim the jobs"))
		go_to(m, step_read_claim);
	else
		m->epoch = 0;           /* it may have been made: look again */
}

/* Where two can put one key, they had better not: PROTOCOL, DEMANDED. */
static int64_t
gap(const struct mirror *m)
{
	uint32_t r = 0;

	if (m->absent == MIRROR_ABSENT_BY_HEAD)
		rk_random_bytes(&r, sizeof(r));
	return RK_MIN(1 + (int64_t)(r % GAP), NUMBER_TOP - m->top);
}

static void
put_claim(struct mirror *m)
{
	struct remote_patience pt = patience(30000);
	char *key;

	m->epoch = m->top + gap(m);
	rk_id_new(m->claim);
	key = key_of(m, "epochs/", m->epoch, ".json");
	free(m->claim_text);
	m->claim_text = claim_text(m);
	m->claim_read = false;
	m->op = remote_put(m->remote, key, m->claim_text,
	    strlen(m->claim_text), true, &pt, claim_put, m);
	free(key);
}

static void
may_claim(struct mirror *m)
{
	/* Who went on alone and was replaced does not disturb the owner. */
	if (m->alone && m->b > 0 && !mine_made(m, m->b))
		mirror_lose(m, m->b);
	else if (m->top >= NUMBER_TOP)
		go_again(m, "there is no epoch left: the objects below epochs/ "
		    "and base/ are not ours");
	else
		put_claim(m);
}

static void
highest_known(struct mirror *m)
{
	if (m->alone)
		ask_bases(m, m->top + 1, mine_top(m), may_claim);
	else
		may_claim(m);
}

static void
claim_bases_listed(void *ctx, const struct remote_result *r)
{
	struct mirror *m = ctx;

	must_be(m, MIRROR_TAG);
	if (!step_good(m, r, "list the bases"))
		return;
	m->b = numbers_top(&m->list);
	m->top = RK_MAX(m->top, m->b);
	m->top = RK_MAX(m->top, mine_top(m));
	ask_claims(m, highest_known);
}

static void
still_highest(struct mirror *m)
{
	if (m->top > m->epoch)
		mirror_lose(m, m->top);
	else if (!m->claim_read)
		step_read_claim(m);
	else
		step_bases(m);
}

static void
epochs_listed(void *ctx, const struct remote_result *r)
{
	struct mirror *m = ctx;

	must_be(m, MIRROR_TAG);
	if (!step_good(m, r, "list the epochs"))
		return;
	m->top = numbers_top(&m->list);
	if (m->epoch == 0) {
		step_list(m, "base/", ".jsonl", claim_bases_listed);
	} else {
		m->top = RK_MAX(m->top, m->epoch);
		ask_claims(m, still_highest);
	}
}

/* With an epoch already: is it still the highest?  Then read again. */
void
step_claim(struct mirror *m)
{
	step_list(m, "epochs/", ".json", epochs_listed);
}
