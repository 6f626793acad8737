/*
 * What a job names that lies outside of it: the one list that says what a
 * record of a bucket could reach for.
 */
#include <stdlib.h>
#include <string.h>

#include "read.h"

struct places {
	struct spec_place *v;
	size_t n;
};

static void
add(struct places *p, const char *field, enum spec_place_kind kind,
    const char *text)
{
	must(p->n < SPEC_PLACES);
	struct spec_place *at = &p->v[p->n++];
	snprintf(at->field, sizeof(at->field), "%s", field);
	at->kind = kind;
	at->text = xstrdup(text);
}

/* A file that is a path, or an address that others fetch. */
static void
add_file(struct places *p, const char *field, const char *text)
{
	if (text != NULL)
		add(p, field, spec_is_address(text) ? SPEC_PLACE_OBJECT :
		    SPEC_PLACE_FILE, text);
}

/* With what may follow it: a path's is no part of the path. */
static void
add_checkpoint(struct places *p, const char *field, const char *text)
{
	struct rk_part part;
	struct rk_uri u;

	if (text == NULL)
		return;
	if (rk_part_parse(&part, text, NULL) != RK_OK) {
		add(p, field, SPEC_PLACE_FILE, text);
		return;
	}
	if (rk_uri_parse(&u, part.bare, NULL) != RK_OK) {
		add(p, field, SPEC_PLACE_FILE, part.bare);
	} else {
		if (u.kind == RK_URI_FILE)
			add(p, field, SPEC_PLACE_FILE, u.path);
		else
			add(p, field, u.kind == RK_URI_JOB ? SPEC_PLACE_JOB :
			    u.kind == RK_URI_MODEL ? SPEC_PLACE_MODEL :
			    SPEC_PLACE_OBJECT, text);
		rk_uri_fini(&u);
	}
	rk_part_fini(&part);
}

static void
add_push(struct places *p, const char *text)
{
	static const char field[] = "checkpoint.push";
	struct rk_uri u;

	if (text == NULL || text[0] == '\0')
		return;
	if (rk_uri_parse(&u, text, NULL) != RK_OK) {
		add(p, field, SPEC_PLACE_PREFIX, text);
		return;
	}
	if (u.kind == RK_URI_FILE)
		add(p, field, SPEC_PLACE_FOLDER, u.path);
	else
		add(p, field, SPEC_PLACE_PREFIX, text);
	rk_uri_fini(&u);
}

size_t
spec_places(const struct spec *s, struct spec_place v[SPEC_PLACES])
{
	struct spec_data d = s->data;   /* borrows all it points to */
	struct places p = { .v = v };
	struct spec_file f[SPEC_FILES];
	const size_t n = spec_files(&d, f);

	for (size_t i = 0; i < n; i++)
		add_file(&p, f[i].field, *f[i].name);
	add_checkpoint(&p, "model.checkpoint", s->model.checkpoint);
	add_file(&p, "model.checkpoint_classes", s->model.warm.classes.file);
	add_file(&p, "model.checkpoint_vocabulary", s->model.warm.vocabulary);
	/* Beside a version is where the version is. */
	if (spec_is_address(s->training.warm_start.beside) &&
	    !spec_is_version(s->training.warm_start.beside))
		add_file(&p, "training.warm_start.optimizer",
		    s->training.warm_start.beside);
	add_push(&p, s->checkpoint.push);
	return p.n;
}

void
spec_places_fini(struct spec_place *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(v[i].text);
}

json_t *
spec_place_said(const struct spec_place *p)
{
	char *text = xasprintf("%s %s", p->field, p->text);
	json_t *v = json_string(text);

	free(text);
	return v != NULL ? v : json_string("");         /* no UTF-8 */
}
