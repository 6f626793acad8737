/*
 * model://NAME@ALIAS, said by a person: which version that is now, by the store
 * as it is now; and which jobs have such an address.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

struct settling {
	struct settling *next;
	struct models *m;
	char *said, *which;             /* the address; "NAME@ALIAS" */
	char name[65];
	char pin[RK_SHA256_HEX];        /* or "" */
	bool number;                    /* NAME/N */
	models_fn *fn;                  /* NULL: has gone */
	void *ctx;
};

static void
drop(struct settling *s)
{
	struct settling **p = &s->m->settlings;

	while (*p != s)
		p = &(*p)->next;
	*p = s->next;
	free(s->said);
	free(s->which);
	free(s);
}

void
settle_forget(struct models *m, const void *ctx)
{
	for (struct settling *s = m->settlings; s != NULL; s = s->next)
		s->fn = s->ctx == ctx ? NULL : s->fn;
}

void
settle_fini(struct models *m)
{
	while (m->settlings != NULL)
		drop(m->settlings);
}

/* What its rows are called, of a file that no job of ours made: ours have the
 * names in them. */
static json_t *
classes_of(const json_t *record)
{
	const char *kind = json_string_value(json_object_get(json_object_get(
	    record, "source"), "kind"));
	json_t *classes = json_object_get(record, "classes");

	return kind != NULL && strcmp(kind, "file") == 0 &&
	    json_array_size(classes) > 0 ? json_incref(classes) : json_null();
}

static enum rk_err
settled(const struct settling *s, json_t **out, struct rk_why *why)
{
	struct models_which w;
	json_t *record = NULL;
	enum rk_err rc = models_which(s->m, s->which, &w, why);

	if (rc == RK_OK)
		rc = models_version(s->m, w.name, w.version, &record, why);
	if (rc != RK_OK)
		return rc;
	const char *digest = json_string_value(json_object_get(record,
	    "digest"));
	if (digest == NULL) {
		rc = rk_refuse(why, "version %lld of model %s has no digest in "
		    "its record", (long long)w.version, w.name);
	} else if (s->pin[0] != '\0' && strcmp(s->pin, digest) != 0) {
		rc = rk_refuse(why, "is %s, and version %lld of model %s has "
		    "the digest %s", s->said, (long long)w.version, w.name,
		    digest);
	} else {
		char *address = xasprintf("model://%s/%lld#sha256=%s", w.name,
		    (long long)w.version, digest);
		*out = json_pack("{s:s, s:s, s:s, s:I, s:o}", "address",
		    address, "said", s->said, "model", w.name, "version",
		    (json_int_t)w.version, "classes", classes_of(record));
		free(address);
	}
	json_decref(record);
	return rc;
}

static void
looked(void *ctx, enum rk_err rc, const json_t *nothing,
    const struct rk_why *why)
{
	struct settling *s = ctx;
	struct rk_why own = { 0 };
	json_t *out = NULL;
	enum rk_err known;

	(void)nothing;
	if (s->fn == NULL) {
		drop(s);
		return;
	}
	/* A deletion may be on its way that knows of no job of ours. */
	if (mlog_of(s->m, s->name)->put_op != NULL) {
		models_look(s->m, s->name, 0, looked, s);
		return;
	}
	known = rc == RK_OK || s->number ? settled(s, &out, &own) : rc;
	/* What the copy does not have may be there. */
	if (known != RK_OK && rc != RK_OK) {
		rk_why_fini(&own);
		rk_refuse(&own, "the registry cannot be asked which version "
		    "%s is: %s", s->said, why != NULL && why->n > 0 ?
		    rk_why_first(why) : rk_strerror(rc));
		known = rc;
	}
	models_fn *fn = s->fn;
	void *of = s->ctx;
	drop(s);
	fn(of, known, out, &own);
	json_decref(out);
	rk_why_fini(&own);
}

void
models_settle(struct models *m, const char *address, models_fn *fn, void *ctx)
{
	char *said = xstrdup(address);
	struct rk_why why = { 0 };
	struct rk_part part = { 0 };
	struct rk_uri u = { 0 };

	must_be(m, MODELS_TAG);
	if (!spec_is_version(said))
		rk_refuse(&why, "is no version of a model");
	else
		(void)!spec_check_address(said, &why);
	if (why.n == 0 && rk_part_parse(&part, said, &why) == RK_OK &&
	    rk_uri_parse(&u, part.bare, &why) == RK_OK) {
		const bool number = strchr(part.bare, '@') == NULL;
		struct settling *s = xcalloc(1, sizeof(*s));
		*s = (struct settling){ .next = m->settlings, .m = m,
			.said = said, .number = number, .fn = fn, .ctx = ctx };
		s->which = xasprintf("%s%c%s", u.host, number ? '/' : '@',
		    u.path);
		snprintf(s->name, sizeof(s->name), "%s", u.host);
		memcpy(s->pin, part.sha256, sizeof(s->pin));
		m->settlings = s;
		models_look(m, u.host, 0, looked, s);
	} else {
		answer_later(m, fn, ctx, RK_EINVAL, NULL, rk_why_first(&why));
		free(said);
	}
	rk_uri_fini(&u);
	rk_part_fini(&part);
	rk_why_fini(&why);
}

/* --- who has it ----------------------------------------------------------- */

struct user {
	char *address;                  /* "model://NAME/N", as it is settled */
	char *who;                      /* NULL: nobody */
};

static bool
names_it(void *ctx, const struct job_row *r)
{
	struct user *u = ctx;
	const size_t n = strlen(u->address);
	const char *at = r->spec;

	while ((at = strstr(at, u->address)) != NULL &&
	    at[n] >= '0' && at[n] <= '9')
		at += n;
	if (at != NULL)
		u->who = xasprintf("job %s (%s), which has not ended", r->id,
		    r->name);
	return at == NULL;
}

/* A job that has its bytes already may begin anew. */
static enum rk_err
in_use(void *ctx, const char *name, int64_t version, struct rk_why *why)
{
	const struct store_filter f = { .states = 1u << JOB_HELD |
	    1u << JOB_QUEUED | 1u << JOB_STARTING | 1u << JOB_RUNNING |
	    1u << JOB_PAUSED };
	struct models *m = ctx;
	struct user u = { .address = xasprintf("model://%s/%lld", name,
	    (long long)version) };

	must_be(m, MODELS_TAG);
	enum rk_err rc = store_jobs(m->store, &f, NULL, INT32_MAX, names_it,
	    &u);
	if (rc == RK_OK && u.who != NULL) {
		rk_refuse(why, "version %lld of model %s is the model of %s",
		    (long long)version, name, u.who);
		rc = RK_ECONFLICT;
	}
	free(u.address);
	free(u.who);
	return rc;
}

void
settle_open(struct models *m)
{
	models_in_use(m, in_use, m);
}
