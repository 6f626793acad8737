/* Parameters by the patterns of their names: `training.parameters` and
 * `training.optimizer.no_decay`. */
#include <stdlib.h>
#include <string.h>

#include "read.h"

/* --- patterns ------------------------------------------------------------- */

/* After a '*' it is enough to try the last one again: what an earlier one could
 * take more of, the last one can. */
bool
spec_pattern_fits(const char *pattern, const char *name)
{
	const char *star = NULL, *from = NULL;

	while (*name != '\0') {
		if (*pattern == '*') {
			star = pattern++;
			from = name;
		} else if (*pattern == '?' || *pattern == *name) {
			pattern++;
			name++;
		} else if (star != NULL) {
			pattern = star + 1;
			name = ++from;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

const struct spec_group *
spec_group_of(const struct spec_training *t, const char *name)
{
	for (int i = 0; i < t->ngroups; i++) {
		if (spec_pattern_fits(t->groups[i].match, name))
			return &t->groups[i];
	}
	return NULL;
}

bool
spec_trains(const struct spec_training *t, const char *name)
{
	const struct spec_group *g = spec_group_of(t, name);

	return g == NULL || g->trainable;
}

double
spec_rate_of(const struct spec_training *t, const char *name)
{
	const struct spec_group *g = spec_group_of(t, name);

	return g != NULL ? g->rate : 1;
}

double
spec_decay_of(const struct spec_training *t, const char *name)
{
	const struct spec_group *g = spec_group_of(t, name);

	if (g != NULL && g->decay_said)
		return g->decay;
	for (int i = 0; i < t->nno_decay; i++) {
		if (spec_pattern_fits(t->no_decay[i], name))
			return 0;
	}
	return t->optim.weight_decay;
}

/* --- reading -------------------------------------------------------------- */

/* A list of at most SPEC_MAX_GROUPS; its length, 0 with a fault if not. */
static size_t
list_of(const json_t *v, const char *path, const char *what,
    struct rk_why *why)
{
	const size_t n = json_array_size(v);
	char shown[SP_SHOWN];

	if (v == NULL || json_is_null(v))
		return 0;
	if (!json_is_array(v))
		rk_refuse_at(why, path, "is %s, want a list of %s",
		    sp_shown(v, shown), what);
	else if (n > SPEC_MAX_GROUPS)
		rk_refuse_at(why, path, "has %zu %s, want at most %d", n, what,
		    SPEC_MAX_GROUPS);
	else
		return n;
	return 0;
}

bool
sp_pattern_ok(const char *s, size_t len)
{
	return len >= 1 && len <= SPEC_MAX_PATTERN && strlen(s) == len;
}

static void
read_group(struct spec_group *g, const json_t *v, const char *path,
    struct rk_why *why)
{
	struct sp_obj s;
	struct rkj_obj *o = &s.o;

	g->rate = 1;
	g->trainable = true;
	sp_open(&s, v, path, why);
	if (rkj_str(o, "match", &g->match, SPEC_MAX_PATTERN, RKJ_REQUIRED) &&
	    !sp_pattern_ok(g->match, strlen(g->match)))
		rkj_fault(o, "match", "is empty, want a pattern of names, such "
		    "as \"fc.*\"");
	rkj_real(o, "learning_rate_scale", &g->rate, 0, 1000, RKJ_OPTIONAL);
	g->decay_said = rkj_real(o, "weight_decay", &g->decay, 0, 1000,
	    RKJ_OPTIONAL);
	rkj_bool(o, "trainable", &g->trainable, RKJ_OPTIONAL);
	sp_close(&s);
}

static void
read_parameters(struct spec_training *t, const json_t *v, struct rk_why *why)
{
	static const char path[] = "training.parameters";
	const size_t n = list_of(v, path, "{match: PATTERN, ...}", why);

	if (n == 0)
		return;
	t->groups = xcalloc(n, sizeof(*t->groups));
	t->ngroups = (int)n;
	for (size_t i = 0; i < n; i++) {
		char *at = xasprintf("%s[%zu]", path, i);
		read_group(&t->groups[i], json_array_get(v, i), at, why);
		free(at);
	}
}

static void
read_no_decay(struct spec_training *t, const json_t *v, struct rk_why *why)
{
	static const char path[] = "training.optimizer.no_decay";
	const size_t n = list_of(v, path, "patterns", why);
	char shown[SP_SHOWN];

	if (n == 0)
		return;
	t->no_decay = xcalloc(n, sizeof(*t->no_decay));
	t->nno_decay = (int)n;
	for (size_t i = 0; i < n; i++) {
		const json_t *e = json_array_get(v, i);
		char *at = xasprintf("%s[%zu]", path, i);
		if (!json_is_string(e) || !sp_pattern_ok(json_string_value(e),
		    json_string_length(e)))
			rk_refuse_at(why, at, "is %s, want a pattern of names "
			    "of 1 to %d bytes, such as \"*.bias\"",
			    sp_shown(e, shown), SPEC_MAX_PATTERN);
		else
			t->no_decay[i] = xstrdup(json_string_value(e));
		free(at);
	}
}

void
sp_read_groups(struct spec_training *t, const json_t *parameters,
    const json_t *no_decay, struct rk_why *why)
{
	read_parameters(t, parameters, why);
	read_no_decay(t, no_decay, why);
}

void
sp_free_groups(struct spec_training *t)
{
	for (int i = 0; i < t->ngroups; i++)
		free(t->groups[i].match);
	for (int i = 0; i < t->nno_decay; i++)
		free(t->no_decay[i]);
	free(t->groups);
	free(t->no_decay);
}

/* --- the normal form ------------------------------------------------------ */

json_t *
sp_json_groups(const struct spec_training *t)
{
	json_t *list = json_array();

	for (int i = 0; i < t->ngroups; i++) {
		const struct spec_group *g = &t->groups[i];
		json_t *o = json_pack("{s:s, s:f, s:b}", "match", g->match,
		    "learning_rate_scale", g->rate, "trainable", g->trainable);
		must(o != NULL);
		if (g->decay_said)
			must(json_object_set_new(o, "weight_decay",
			    json_real(g->decay)) == 0);
		must(json_array_append_new(list, o) == 0);
	}
	return list;
}

json_t *
sp_json_no_decay(const struct spec_training *t)
{
	json_t *list = json_array();

	for (int i = 0; i < t->nno_decay; i++)
		must(json_array_append_new(list, json_string(t->no_decay[i])) ==
		    0);
	return list;
}
