/*
 * What a job was begun from, kept in its folder (lineage.json) as it begins:
 * jobs that it comes from may be deleted before it is registered, files
 * replaced, and what the cache knows of addresses is evicted.
 *
 *	{format: 1, parents: [node, ...]}       register.h has the nodes
 *
 * A file of this machine is hashed by a worker.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"
#include "register.h"

#define KEPT_FILE "lineage.json"
#define KEPT_MAX  ((size_t)1 << 20)

struct keeping {
	struct keeping *next, **prev;
	struct registrar *r;            /* NULL: closed meanwhile */
	char job[RK_ID];
	char *dir, *path;               /* the job's folder; what is hashed */
	json_t *parents;
	char sha256[RK_SHA256_HEX];     /* "": it could not be read */
};

/* All that a worker may still hold; the loop's close may drop some of them. */
static struct keeping *keepings;

json_t *
kept_read(struct registrar *r, const char *job)
{
	char *path = xasprintf("%s/" KEPT_FILE, sup_job_dir(r->m->sup, job));
	json_t *v = NULL, *parents = NULL;
	char *text = NULL;
	size_t len;

	if (rk_read_file(AT_FDCWD, path, KEPT_MAX, &text, &len) == RK_OK &&
	    rkj_parse_json(text, len, &v, NULL) == RK_OK) {
		parents = json_object_get(v, "parents");
		parents = json_is_array(parents) ? json_incref(parents) : NULL;
	}
	json_decref(v);
	free(text);
	free(path);
	return parents;
}

static void
write_kept(const char *dir, const char *job, json_t *parents)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	json_t *o = json_pack("{s:i, s:O}", "format", 1, "parents", parents);
	char *text = rkj_text(o);

	/* Without it the lineage is made of what is there at its time. */
	if (fd < 0 || rk_replace_file(fd, KEPT_FILE, text, strlen(text)) !=
	    RK_OK)
		log_info("job=%s models: what it was begun from is not kept",
		    job);
	rk_close(&fd);
	free(text);
	json_decref(o);
}

static void
keep_work(void *ctx)
{
	struct keeping *k = ctx;
	int fd = open(k->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || rk_sha256_of_fd(fd, k->sha256, NULL) != RK_OK)
		k->sha256[0] = '\0';
	rk_close(&fd);
}

static void
keep_done(void *ctx)
{
	struct keeping *k = ctx;

	*k->prev = k->next;
	if (k->next != NULL)
		k->next->prev = k->prev;
	if (k->sha256[0] != '\0')
		json_object_set_new(json_array_get(k->parents, 0), "sha256",
		    json_string(k->sha256));
	if (k->r != NULL)
		write_kept(k->dir, k->job, k->parents);
	json_decref(k->parents);
	free(k->dir);
	free(k->path);
	free(k);
}

/* The path of a file of this machine whose digest is not known; the caller's;
 * NULL: it is none. */
static char *
to_hash(const struct spec *spec, const json_t *parents)
{
	const json_t *node = json_array_get(parents, 0);
	const char *kind = json_string_value(json_object_get(node, "kind"));
	struct rk_part p;
	struct rk_uri u;
	char *path = NULL;

	if (kind == NULL || strcmp(kind, "file") != 0 ||
	    !json_is_null(json_object_get(node, "sha256")) ||
	    rk_part_parse(&p, spec->model.checkpoint, NULL) != RK_OK)
		return NULL;
	if (p.member == NULL && rk_uri_parse(&u, p.bare, NULL) == RK_OK) {
		if (u.kind == RK_URI_FILE)
			path = xstrdup(u.path);
		rk_uri_fini(&u);
	}
	rk_part_fini(&p);
	return path;
}

static void
keep(struct registrar *r, const struct job_row *row, const struct spec *spec)
{
	struct lineage_world w;
	json_t *parents = lineage_parents(lineage_world_of(r, &w), row, spec);
	char *path = to_hash(spec, parents);

	if (path == NULL) {
		write_kept(sup_job_dir(r->m->sup, row->id), row->id, parents);
		json_decref(parents);
		return;
	}
	struct keeping *k = xcalloc(1, sizeof(*k));
	k->r = r;
	memcpy(k->job, row->id, sizeof(k->job));
	k->dir = xstrdup(sup_job_dir(r->m->sup, row->id));
	k->path = path;
	k->parents = parents;
	k->next = keepings;
	k->prev = &keepings;
	if (k->next != NULL)
		k->next->prev = &k->next;
	keepings = k;
	loop_work(r->m->loop, keep_work, keep_done, k);
}

void
kept_look(struct registrar *r, const struct job_row *row)
{
	char *path = xasprintf("%s/" KEPT_FILE, sup_job_dir(r->m->sup,
	    row->id));
	const bool is = access(path, F_OK) == 0;
	json_t *tree = NULL;
	struct spec *spec = NULL;

	free(path);
	for (const struct keeping *k = keepings; k != NULL; k = k->next)
		if (k->r == r && strcmp(k->job, row->id) == 0)
			return;
	if (!is && rkj_parse_json(row->spec, strlen(row->spec), &tree, NULL) ==
	    RK_OK && spec_parse(tree, &spec, NULL) == RK_OK &&
	    spec->kind == SPEC_JOB_TRAIN && spec->model.checkpoint != NULL)
		keep(r, row, spec);
	spec_free(spec);
	json_decref(tree);
}

void
kept_fini(struct registrar *r)
{
	for (struct keeping *k = keepings; k != NULL; k = k->next)
		if (k->r == r)
			k->r = NULL;
}
