/* What a job's specification says of shipping, and where its folders are. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"

static char *
with_slash(const char *prefix)
{
	size_t n = strlen(prefix);

	return xasprintf("%s%s", prefix, n > 0 && prefix[n - 1] != '/' ? "/" :
	    "");
}

char *
ship_prefix(struct ship *h, const struct spec *spec)
{
	const char *push = spec->checkpoint.push;
	char *whole, *prefix;

	must_be(h, SHIP_TAG);
	if (push == NULL || push[0] == '\0')
		push = h->c.prefix != NULL ? h->c.prefix : "";
	prefix = with_slash(push);
	if (h->part == NULL || prefix[0] == '\0')
		return prefix;
	whole = remote_join(prefix, h->part);
	free(prefix);
	return whole;
}

bool
job_may_write(const struct ship *h, const char *uri)
{
	char *prefix = prefix_of_uri(uri);
	size_t n = strlen(prefix), k = h->part != NULL ? strlen(h->part) : 0;
	bool yes = n >= k && strcmp(prefix + n - k, h->part != NULL ? h->part :
	    "") == 0;

	free(prefix);
	return yes;
}

char *
job_base(const char *prefix, const char *id)
{
	char *p = with_slash(prefix);
	char *base = xasprintf("%sjobs/%s/checkpoints/", p, id);

	free(p);
	return base;
}

char *
job_folder(struct ship *h, const char *id)
{
	return xasprintf("%s/checkpoints", sup_job_dir(h->sup, id));
}

static void
take_spec(struct ship *h, const struct job_row *r, struct jobinfo *out)
{
	json_t *tree = NULL;
	struct spec *s = NULL;
	struct rk_why why = {0};

	if (rkj_parse_json(r->spec, strlen(r->spec), &tree, &why) == RK_OK &&
	    spec_parse(tree, &s, &why) == RK_OK &&
	    ship_allows(h, r->said_here, s, true, &why) == SHIP_ALLOWED) {
		out->prefix = ship_prefix(h, s);
		out->metric = xstrdup(s->checkpoint.metric);
		out->mode_max = s->checkpoint.mode_max;
		out->keep_last = s->checkpoint.keep_last;
		out->keep_best = s->checkpoint.keep_best;
	} else {
		if (s == NULL)
			log_warn("job=%s ship: its specification cannot be "
			    "read: %s", r->id, rk_why_first(&why));
		/* It goes nowhere, and nothing of it goes. */
		out->prefix = xstrdup("");
		out->metric = xstrdup("loss");
		out->keep_last = INT64_MAX;
	}
	rk_why_fini(&why);
	json_decref(tree);
	spec_free(s);
}

void
job_of_row(struct ship *h, const struct job_row *r, struct jobinfo *out)
{
	*out = (struct jobinfo){0};
	take_spec(h, r, out);
	out->base = job_base(out->prefix, r->id);
	out->name = xstrdup(r->name);
	out->resume_from = xstrdup(r->resume_from);
	out->priority = r->priority;
	out->state = r->state;
}

bool
job_look(struct ship *h, const char *id, struct jobinfo *out)
{
	struct job_row r;
	enum rk_err rc = store_job_get(h->store, id, &r);

	*out = (struct jobinfo){0};
	if (rc != RK_OK) {
		if (rc != RK_ENOENT)
			log_error("job=%s ship: cannot read it: %s", id,
			    rk_strerror(rc));
		return false;
	}
	job_of_row(h, &r, out);
	store_job_fini(&r);
	return true;
}

void
jobinfo_fini(struct jobinfo *j)
{
	free(j->prefix);
	free(j->base);
	free(j->name);
	free(j->metric);
	free(j->resume_from);
	*j = (struct jobinfo){0};
}

/* --- folders ------------------------------------------------------------- */

char *
folder_uri(const char *base, const char *dir, int64_t epoch, int n)
{
	char e[32] = "", r[32] = "";

	if (epoch > 0)
		snprintf(e, sizeof(e), "-e%" PRId64, epoch);
	if (n > 1)
		snprintf(r, sizeof(r), "-r%d", n);
	return xasprintf("%s%s%s%s/", base, dir, e, r);
}

/* Cut after the last but `parts` slashes. */
static char *
cut_parts(const char *uri, int parts)
{
	size_t n = strlen(uri);

	while (parts >= 0 && n > 0) {
		if (uri[--n] == '/')
			parts--;
	}
	return xstrndup(uri, n + 1);
}

char *
base_of_uri(const char *uri)
{
	return cut_parts(uri, 1);
}

char *
prefix_of_uri(const char *uri)
{
	return cut_parts(uri, 4);       /* jobs/<id>/checkpoints/<folder>/ */
}

/* "-b12" at s: its length and number, as we write it; 0 if it is none. */
static size_t
suffix(const char *s, char letter, int64_t *n)
{
	size_t len = 2;

	if (s[0] != '-' || s[1] != letter || s[2] < '1' || s[2] > '9')
		return 0;
	for (*n = 0; s[len] >= '0' && s[len] <= '9'; len++) {
		if (len > 18)
			return 0;
		*n = *n * 10 + (s[len] - '0');
	}
	return len;
}

bool
folder_parse(const char *name, char dir[CKPT_DIR_MAX], int64_t *epoch)
{
	size_t digits, at, k;
	int64_t n;

	*epoch = 0;
	if (strncmp(name, "step-", 5) != 0)
		return false;
	digits = strspn(name + 5, "0123456789");
	if (digits < 9 || digits > 18 || (digits > 9 && name[5] == '0'))
		return false;
	at = 5 + digits;
	k = suffix(name + at, 'b', &n);
	if (k > 0 && (n < 2 || n > 10000))
		return false;
	at += k;
	snprintf(dir, CKPT_DIR_MAX, "%.*s", (int)at, name);
	k = suffix(name + at, 'e', epoch);
	at += k;
	k = suffix(name + at, 'r', &n);
	if (k > 0 && n < 2)
		return false;
	return name[at + k] == '\0';
}
