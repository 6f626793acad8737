/*
 * Bytes before a start.
 *
 * Those above us fetch what a job needs and is not on this machine; they answer
 * at once, from what they know.  A job whose bytes are on their way stays
 * QUEUED, reason `fetching`, and is passed over: jobs behind it may start.  It
 * is remembered here, so that a pass over the queue need not ask again, and
 * asked about anew after a while or when sup_supplied() says so.  So is a job
 * that came from a record and names what this machine does not let it have.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define DENIED_ASK_MS 30000     /* links may have been changed meanwhile */

static const char is_fetching[] = "fetching";

static struct fetching *
find(const struct sup *s, const char *id)
{
	struct fetching *f = s->fetching;

	while (f != NULL && strcmp(f->id, id) != 0)
		f = f->next;
	return f;
}

bool
supply_waits(const struct sup *s, const char *id)
{
	const struct fetching *f = find(s, id);

	return f != NULL && !f->ready;
}

static bool
is_denied(const struct fetching *f)
{
	return !f->ready && strcmp(f->reason, is_fetching) != 0;
}

bool
supply_denied(const struct sup *s, const char *id)
{
	const struct fetching *f = find(s, id);

	return f != NULL && is_denied(f);
}

int64_t
sup_not_allowed(const struct sup *s, const char *reason)
{
	int64_t n = 0;

	for (const struct fetching *f = s->fetching; f != NULL; f = f->next)
		n += is_denied(f) && strcmp(f->reason, reason) == 0;
	return n;
}

int64_t
supply_next(const struct sup *s)
{
	int64_t next = 0;

	for (const struct fetching *f = s->fetching; f != NULL; f = f->next)
		next = next == 0 ? f->until_ms : RK_MIN(next, f->until_ms);
	return next;
}

/* --- asking --------------------------------------------------------------- */

/* No job starts with an address that nobody has a file for; null is said of one
 * that this start does not need. */
static enum rk_err
check_files(const struct spec *spec, const json_t *files, struct rk_why *why)
{
	struct spec_address v[SPEC_ADDRESSES];
	size_t n = spec_addresses(spec, v), bad = 0;

	for (size_t i = 0; i < n; i++) {
		const json_t *file = json_object_get(files, v[i].uri);
		if (json_is_string(file) || json_is_null(file))
			continue;
		bad++;
		rk_refuse_at(why, v[i].field, "is %s, which this daemon cannot "
		    "fetch", v[i].uri);
	}
	return bad == 0 ? RK_OK : RK_EINVAL;
}

enum rk_err
supply_allowed(struct sup *s, const struct job_row *r, const struct spec *spec,
    const char **reason, struct rk_why *why)
{
	*reason = s->up.allowed != NULL ? s->up.allowed(s->up.ctx, r, spec,
	    why) : NULL;
	return *reason == NULL ? RK_OK : RK_EBUSY;
}

enum rk_err
supply_ask(struct sup *s, const struct job_row *r, const struct spec *spec,
    json_t *files, const char **reason, struct rk_why *why)
{
	enum rk_err rc = supply_allowed(s, r, spec, reason, why);

	if (rc != RK_OK)
		return rc;
	*reason = is_fetching;
	if (s->up.supply != NULL)
		rc = s->up.supply(s->up.ctx, r, spec, files, why);
	return rc == RK_OK ? check_files(spec, files, why) : rc;
}

/* Equal but for their digits: "fetches s3://b/k, 43 %" and "..., 44 %". */
static bool
only_numbers_differ(const char *a, const char *b)
{
	static const char digits[] = "0123456789";

	for (;;) {
		a += strspn(a, digits);
		b += strspn(b, digits);
		if (*a != *b)
			return false;
		if (*a == '\0')
			return true;
		a++;
		b++;
	}
}

/* A row that is written is mirrored and shown: other words soon, another
 * percentage now and then. */
static bool
worth_writing(const struct sup *s, const struct fetching *f,
    const struct job_row *r, const char *text, int64_t now)
{
	if (strcmp(r->reason, f->reason) != 0)
		return true;
	if (strcmp(r->message, text) == 0)
		return false;
	int64_t every = only_numbers_differ(r->message, text) ?
	    s->supply_say_ms * 5 : s->supply_say_ms;
	return f->said_ms == 0 || now - f->said_ms >= every;
}

enum rk_err
supply_wait(struct sup *s, struct job_row *r, const char *reason,
    const struct rk_why *why)
{
	struct fetching *f = find(s, r->id);
	char *text = rk_text_clean(why->n > 0 ? rk_why_text(why) :
	    xstrdup("waits for bytes that are on their way"));
	struct store_note note = { .message = text };
	int64_t now = mono_ms();
	enum rk_err rc = RK_OK;
	bool news = f == NULL || strcmp(r->reason, reason) != 0;

	if (f == NULL) {
		f = xcalloc(1, sizeof(*f));
		memcpy(f->id, r->id, sizeof(f->id));
		f->next = s->fetching;
		s->fetching = f;
	}
	f->ready = false;
	f->reason = reason;
	if (news && is_denied(f))       /* a person has to read it */
		log_warn("job=%s waits (%s): %s", r->id, reason, text);
	f->until_ms = now + (is_denied(f) ? DENIED_ASK_MS : s->supply_ask_ms);
	if (worth_writing(s, f, r, text, now)) {
		if (strcmp(r->reason, reason) != 0)
			note.kind = is_denied(f) ? "not_allowed" : reason;
		set_str(&r->reason, reason);
		set_str(&r->message, text);
		rc = sup_put(s, r, NULL, &note);
		f->said_ms = now;
	}
	free(text);
	return rc;
}

/* --- before and after a pass ---------------------------------------------- */

static void
ask_again(struct sup *s, struct fetching *f)
{
	struct rk_why why = { 0 };
	struct spec *spec = NULL;
	json_t *files = json_object();
	const char *reason = NULL;
	struct job_row r;

	f->ready = true;                /* should it be none of ours any more */
	if (store_job_get(s->store, f->id, &r) == RK_OK) {
		enum rk_err rc = r.state != JOB_QUEUED ? RK_OK :
		    row_spec(&r, NULL, &spec, &why);
		if (rc == RK_OK && spec != NULL)
			rc = supply_ask(s, &r, spec, files, &reason, &why);
		if (rc == RK_EBUSY)
			rc = supply_wait(s, &r, reason, &why);
		else if (rc != RK_OK)
			rc = not_startable(s, &r, rc, &why, "fetch");
		if (rc != RK_OK)
			log_error("job=%s cannot be waited for: %s", f->id,
			    rk_strerror(rc));
		store_job_fini(&r);
	}
	spec_free(spec);
	json_decref(files);
	rk_why_fini(&why);
}

void
supply_look(struct sup *s)
{
	int64_t now = mono_ms();

	for (struct fetching *f = s->fetching; f != NULL; f = f->next) {
		if (f->until_ms <= now)
			ask_again(s, f);
	}
}

/* Its bytes are there, a slot was not: its row should not say otherwise. */
static void
waits_for_its_turn(struct sup *s, const struct fetching *f)
{
	struct job_row r;

	if (store_job_get(s->store, f->id, &r) != RK_OK)
		return;
	if (r.state == JOB_QUEUED && strcmp(r.reason, f->reason) == 0) {
		set_str(&r.reason, "");
		set_str(&r.message, "all that it needs is there; waits for its "
		    "turn");
		if (sup_put(s, &r, NULL, NULL) != RK_OK)
			log_warn("job=%s its row still says: %s", f->id,
			    f->reason);
	}
	store_job_fini(&r);
}

void
supply_sweep(struct sup *s)
{
	struct fetching **p = &s->fetching, *f;

	while ((f = *p) != NULL) {
		if (!f->ready) {
			p = &f->next;
			continue;
		}
		waits_for_its_turn(s, f);
		*p = f->next;
		free(f);
	}
}

void
supply_fini(struct sup *s)
{
	struct fetching *f;

	while ((f = s->fetching) != NULL) {
		s->fetching = f->next;
		free(f);
	}
}

/* --- those above us ------------------------------------------------------- */

void
sup_supplier_set(struct sup *s, const struct sup_supplier *p)
{
	must_be(s, SUP_TAG);
	s->up = *p;
	sup_supplied(s);
}

void
sup_supplied(struct sup *s)
{
	must_be(s, SUP_TAG);
	for (struct fetching *f = s->fetching; f != NULL; f = f->next)
		f->until_ms = 0;
	shipped_look(s);
	sched_kick(s);
}
