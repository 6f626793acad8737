/*
 * Where the bytes behind a job's addresses are on this machine: --file
 * ADDRESS=PATH.  The job itself, its digest and what is said of it keep the
 * address; a path in some cache is nobody's lineage.
 */
#include <stdlib.h>
#include <string.h>

#include "run.h"

/* What a job may call by another name than a path. */
struct named {
	struct spec_address v[SPEC_ADDRESSES + 3];
	size_t n;
};

static void
collect(struct named *a, const struct spec *s)
{
	a->n = spec_addresses(s, a->v);
	if (s->model.checkpoint != NULL &&
	    !spec_is_address(s->model.checkpoint))      /* job:// */
		a->v[a->n++] = (struct spec_address){ "model.checkpoint",
		    SPEC_ADDRESS_MODEL, s->model.checkpoint };
	const struct spec_warm_start *w = &s->training.warm_start;
	const char *const of_job[] = { w->beside, w->record };
	for (size_t i = 0; w->record != NULL && i < RK_ARRAY_LEN(of_job); i++)
		a->v[a->n++] = (struct spec_address){ "training.warm_start."
		    "optimizer", SPEC_ADDRESS_STATE, of_job[i] };
}

/*
 * Which of a job's addresses an option is of, and the path behind it.  Both may
 * have '=' in them: of addresses that are another's beginning the longest is
 * meant.
 */
static const char *
address_of(const struct named *a, const char *option, const char **path)
{
	const char *found = NULL;
	size_t longest = 0;

	for (size_t i = 0; i < a->n; i++) {
		size_t n = strlen(a->v[i].uri);
		if (n > longest && strncmp(option, a->v[i].uri, n) == 0 &&
		    option[n] == '=') {
			longest = n;
			found = a->v[i].uri;
			*path = option + n + 1;
		}
	}
	return found;
}

const char *
place_of(const struct run *r, const char *where)
{
	const char *path = NULL, *found = NULL;
	struct named a;

	collect(&a, r->spec);
	for (int i = 0; i < r->o->nfile; i++) {
		const char *of = address_of(&a, r->o->file[i], &path);
		if (of != NULL && strcmp(of, where) == 0)
			found = path;
	}
	return found;
}

bool
place_check(struct run *r)
{
	const char *path;
	struct named a;

	collect(&a, r->spec);
	for (int i = 0; i < r->o->nfile; i++) {
		if (address_of(&a, r->o->file[i], &path) == NULL)
			return run_fail(r, "bad_spec", true, "--file %s: the "
			    "job names no such address", r->o->file[i]);
	}
	return true;
}

bool
place_missing(struct run *r, const char *field, const char *uri)
{
	return run_fail(r, strcmp(field, "model.checkpoint") == 0 ?
	    "warm_start" : "bad_data", true, "%s is %s, which only the daemon "
	    "can find: submit the job to rekindled, or say where its bytes are "
	    "with --file %s=PATH", field, uri, uri);
}

/* A gzipped tar of images is read where it was unpacked. */
static bool
unpack_side(struct run *r, struct spec_source *s, int side)
{
	char **own = &r->unpacked[side];

	if (s->type != SPEC_IMAGE_FOLDER)
		return true;
	if (*own == NULL && !unpack_tar(r, s->path, side == 0 ? "train" :
	    "validation", own))
		return false;
	if (*own != NULL)
		s->path = *own;
	return true;
}

bool
place_data(struct run *r, struct spec_data *local)
{
	struct spec_file f[SPEC_FILES];

	*local = r->spec->data;
	const size_t n = spec_files(local, f);
	for (size_t i = 0; i < n; i++) {
		if (!spec_is_address(*f[i].name))
			continue;
		const char *path = place_of(r, *f[i].name);
		if (path == NULL)
			return place_missing(r, f[i].field, *f[i].name);
		/* Read only: the copy never frees what it points to. */
		*f[i].name = (char *)(uintptr_t)path;
	}
	return (r->spec->kind != SPEC_JOB_TRAIN ||
	    unpack_side(r, &local->train, 0)) &&
	    (!local->has_validation || unpack_side(r, &local->validation, 1));
}

/* The job's name of what a text begins with, where that was unpacked to
 * *path. */
static const char *
unpacked_of(const struct run *r, const char *text, const char **path)
{
	const struct spec_data *d = &r->spec->data;

	for (int i = 0; i < 2; i++) {
		*path = r->unpacked[i];
		if (*path != NULL && strncmp(text, *path, strlen(*path)) == 0)
			return i == 0 ? d->train.path : d->validation.path;
	}
	return NULL;
}

char *
place_named(const struct run *r, const char *text)
{
	struct strbuf b = {0};
	const char *path = NULL;
	struct named a;

	collect(&a, r->spec);
	while (*text != '\0') {
		const char *of = unpacked_of(r, text, &path);
		for (int i = 0; i < r->o->nfile && of == NULL; i++) {
			of = address_of(&a, r->o->file[i], &path);
			if (of != NULL && (path[0] == '\0' ||
			    strncmp(text, path, strlen(path)) != 0))
				of = NULL;
		}
		if (of != NULL) {
			sb_adds(&b, of);
			text += strlen(path);
		} else {
			sb_addc(&b, *text++);
		}
	}
	return b.s != NULL ? sb_detach(&b) : xstrdup("");
}
