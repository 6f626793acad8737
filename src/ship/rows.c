/* Rows of the store, and the lists of files in them. */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

/* --- names --------------------------------------------------------------- */

static size_t
names_count(char *const *names)
{
	size_t n = 0;

	while (names != NULL && names[n] != NULL)
		n++;
	return n;
}

char **
names_copy(char *const *names)
{
	size_t n = names_count(names);
	char **to = n > 0 ? xcalloc(n + 1, sizeof(*to)) : NULL;

	for (size_t i = 0; i < n; i++)
		to[i] = xstrdup(names[i]);
	return to;
}

void
names_free(char **names)
{
	for (size_t i = 0; names != NULL && names[i] != NULL; i++)
		free(names[i]);
	free(names);
}

bool
names_same(char *const *a, char *const *b)
{
	size_t n = names_count(a);

	if (n != names_count(b))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(a[i], b[i]) != 0)
			return false;
	}
	return true;
}

/* --- files --------------------------------------------------------------- */

void
rfiles_fini(struct rfiles *f)
{
	for (int i = 0; i < f->n; i++)
		free(f->v[i].uri);
	names_free(f->names);
	*f = (struct rfiles){0};
}

void
rfiles_add(struct rfiles *f, const char *name, uint64_t size,
    const char *sha256, const char *uri)
{
	must(f->n < CKPT_MAX_FILES);
	struct rfile *v = &f->v[f->n++];
	snprintf(v->name, sizeof(v->name), "%s", name);
	snprintf(v->sha256, sizeof(v->sha256), "%s", sha256);
	v->size = size;
	v->uri = xstrdup(uri);
}

static void
parse_names(struct rfiles *f, const json_t *a)
{
	size_t n = json_array_size(a), k = 0;

	f->names = xcalloc(n + 1, sizeof(*f->names));
	for (size_t i = 0; i < n; i++) {
		const char *s = json_string_value(json_array_get(a, i));
		if (s != NULL)
			f->names[k++] = xstrdup(s);
	}
}

/* We wrote it; what is not as we write is left out. */
void
rfiles_parse(struct rfiles *f, const char *text)
{
	json_t *a = NULL, *v;
	size_t i;

	*f = (struct rfiles){0};
	if (rkj_parse_json(text, strlen(text), &a, NULL) != RK_OK)
		return;
	json_array_foreach(a, i, v) {
		const char *name = json_string_value(json_object_get(v,
		    "name"));
		const char *sha = json_string_value(json_object_get(v,
		    "sha256"));
		const char *uri = json_string_value(json_object_get(v, "uri"));
		const json_t *names = json_object_get(v, "names");
		int64_t size = json_integer_value(json_object_get(v, "size"));
		if (json_is_array(names) && f->names == NULL)
			parse_names(f, names);
		else if (name != NULL && sha != NULL && uri != NULL &&
		    size >= 0 && f->n < CKPT_MAX_FILES)
			rfiles_add(f, name, (uint64_t)size, sha, uri);
	}
	json_decref(a);
}

char *
rfiles_text(const struct rfiles *f)
{
	json_t *a = json_array(), *names;

	for (int i = 0; i < f->n; i++) {
		json_t *v = json_pack("{s:s, s:I, s:s, s:s}", "name",
		    f->v[i].name, "size", (json_int_t)f->v[i].size, "sha256",
		    f->v[i].sha256, "uri", f->v[i].uri);
		must(v != NULL && json_array_append_new(a, v) == 0);
	}
	if (f->names != NULL && f->names[0] != NULL) {
		names = json_array();
		for (size_t i = 0; f->names[i] != NULL; i++)
			json_array_append_new(names, json_string(f->names[i]));
		must(json_array_append_new(a, json_pack("{s:o}", "names",
		    names)) == 0);
	}
	char *text = rkj_text(a);
	json_decref(a);
	return text;
}

/* --- rows ---------------------------------------------------------------- */

void
row_set(char **field, const char *text)
{
	char *old = *field;

	*field = xstrdup(text);
	free(old);
}

void
row_copy(struct remote_row *to, const struct remote_row *from)
{
	*to = *from;
	to->dir = xstrdup(from->dir);
	to->uri = xstrdup(from->uri);
	to->files = xstrdup(from->files);
	to->info = xstrdup(from->info);
	to->error = xstrdup(from->error);
}

bool
row_same(const struct remote_row *a, const struct remote_row *b)
{
	return strcmp(a->job, b->job) == 0 && strcmp(a->dir, b->dir) == 0 &&
	    strcmp(a->uri, b->uri) == 0;
}

static bool
take_row(void *ctx, const struct remote_row *r)
{
	struct rows *rows = ctx;

	if ((rows->n & (rows->n - 1)) == 0)
		rows->v = xrealloc(rows->v, RK_MAX(rows->n * 2, (size_t)1) *
		    sizeof(*rows->v));
	row_copy(&rows->v[rows->n++], r);
	return true;
}

enum rk_err
rows_try(struct ship *h, const char *job, unsigned states, struct rows *out)
{
	*out = (struct rows){0};
	enum rk_err rc = store_remotes(h->store, job, states, take_row, out);
	if (rc != RK_OK)
		log_error("ship: cannot read what is remote: %s",
		    rk_strerror(rc));
	return rc;
}

void
rows_load(struct ship *h, const char *job, unsigned states, struct rows *out)
{
	(void)!rows_try(h, job, states, out);
}

void
rows_fini(struct rows *r)
{
	for (size_t i = 0; i < r->n; i++)
		store_remote_fini(&r->v[i]);
	free(r->v);
	*r = (struct rows){0};
}

bool
row_save(struct ship *h, const struct remote_row *r)
{
	enum rk_err rc = store_remote_put(h->store, r, NULL);

	/* Those that are not there yet are no news. */
	if (rc == RK_OK && !(RS_BIT(r->state) & RS_TO_DO) && h->there != NULL)
		h->there(h->there_ctx, r->job);
	if (rc == RK_OK)
		return true;
	if (rc != RK_EGONE)     /* store has said that, once */
		log_error("job=%s ship: cannot write that %s is %s: %s",
		    r->job, r->dir, remote_state_words[r->state],
		    rk_strerror(rc));
	return false;
}

bool
row_drop(struct ship *h, const struct remote_row *r)
{
	enum rk_err rc = store_remote_drop(h->store, r);

	if (rc != RK_OK)
		log_error("job=%s ship: cannot forget %s: %s", r->job, r->dir,
		    rk_strerror(rc));
	return rc == RK_OK;
}

void
row_damaged(struct ship *h, struct remote_row *r, const char *what)
{
	log_warn("job=%s ship: %s is not whole: %s", r->job, r->uri, what);
	ship_event(h, r->job, "remote_damaged", NULL, "%s in the bucket is not "
	    "whole and is passed over: %s", r->dir, what);
	r->state = RS_DROPPED;
	row_set(&r->error, what);
	(void)row_save(h, r);
	scan_later(h, r->job);
}

static void
add_sums(struct ckpt_info *i, const struct rfiles *f)
{
	for (int k = 0; k < i->nfiles; k++) {
		for (int m = 0; m < f->n && i->files[k].sha256[0] == '\0'; m++) {
			if (strcmp(f->v[m].name, i->files[k].name) == 0)
				memcpy(i->files[k].sha256, f->v[m].sha256,
				    sizeof(i->files[k].sha256));
		}
	}
}

bool
row_info(const struct remote_row *r, struct ckpt_info *out)
{
	struct rk_why why = {0};
	struct rfiles f;
	enum rk_err rc = ckpt_info_parse(r->info, strlen(r->info), r->dir,
	    out, &why);

	if (rc != RK_OK) {
		log_warn("job=%s ship: what is kept of %s cannot be read: %s",
		    r->job, r->uri, rk_why_first(&why));
		rk_why_fini(&why);
		return false;
	}
	rfiles_parse(&f, r->files);
	add_sums(out, &f);
	names_free(out->names);
	out->names = f.names;
	f.names = NULL;
	rfiles_fini(&f);
	return true;
}

struct placed {
	struct ckpt_info info;
	size_t at;
};

static int
by_place(const void *a, const void *b)
{
	const struct ckpt_info *x = &((const struct placed *)a)->info;
	const struct ckpt_info *y = &((const struct placed *)b)->info;

	if (x->branch != y->branch)
		return x->branch < y->branch ? -1 : 1;
	return (x->step > y->step) - (x->step < y->step);
}

void
rows_infos(const struct rows *r, struct ckpt_info **v, size_t **at, size_t *n)
{
	struct placed *p = xcalloc(r->n + 1, sizeof(*p));

	*n = 0;
	for (size_t i = 0; i < r->n; i++) {
		bool twin = false;
		for (size_t k = 0; k < *n && !twin; k++)
			twin = strcmp(p[k].info.dir, r->v[i].dir) == 0;
		if (!twin && row_info(&r->v[i], &p[*n].info))
			p[(*n)++].at = i;
	}
	if (*n > 0)
		qsort(p, *n, sizeof(*p), by_place);
	*v = xcalloc(*n + 1, sizeof(**v));
	*at = xcalloc(*n + 1, sizeof(**at));
	for (size_t i = 0; i < *n; i++) {
		(*v)[i] = p[i].info;
		(*at)[i] = p[i].at;
	}
	free(p);
}

/* --- small things -------------------------------------------------------- */

bool
starts_with(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

void
ship_event(struct ship *h, const char *job, const char *kind,
    const json_t *data, const char *fmt, ...)
{
	struct strbuf b = {0};
	va_list ap;

	va_start(ap, fmt);
	sb_vaddf(&b, fmt, ap);
	va_end(ap);
	sup_event(h->sup, job, kind, sb_str(&b), data);
	sb_fini(&b);
}
