/* What a person says, on this machine, of a job that came from a record. */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

/* Do overrides say this field, "data.train.path[1]"? */
static bool
says_field(const json_t *overrides, const char *field)
{
	const json_t *at = overrides;
	char *path = xstrdup(field), *rest, *key;

	path[strcspn(path, "[")] = '\0';
	for (key = strtok_r(path, ".", &rest); key != NULL && at != NULL;
	    key = strtok_r(NULL, ".", &rest))
		at = json_object_get(at, key);
	free(path);
	return at != NULL && at != overrides;
}

static bool
names(const struct spec_place *v, size_t n, const struct spec_place *p)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(v[i].field, p->field) == 0 &&
		    strcmp(v[i].text, p->text) == 0)
			return true;
	}
	return false;
}

void
said_by_overrides(struct job_row *r, const struct spec *was,
    const struct spec *is, const json_t *overrides)
{
	struct spec_place old[SPEC_PLACES], now[SPEC_PLACES];
	json_t *said = NULL;

	if (r->said_here[0] == '\0' || rkj_parse_json(r->said_here,
	    strlen(r->said_here), &said, NULL) != RK_OK)
		return;
	const size_t n = spec_places(was, old), m = spec_places(is, now);
	for (size_t i = 0; i < m; i++) {
		if (names(old, n, &now[i]) &&
		    !says_field(overrides, now[i].field))
			continue;
		json_t *text = spec_place_said(&now[i]);
		json_array_append_new(said, text);
	}
	free(r->said_here);
	r->said_here = rkj_text(said);
	spec_places_fini(old, n);
	spec_places_fini(now, m);
	json_decref(said);
}
