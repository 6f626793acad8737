/* Where jobs meet the disk: a job's file, and the files that it names. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rekindle/spec_faults.h"
#include "read.h"

/* Take a relative path from the folder dir. */
static void
resolve(char **path, const char *dir)
{
	const char *p = *path;

	if (p == NULL || p[0] == '/' || spec_is_address(p))
		return;
	while (strncmp(p, "./", 2) == 0)
		p += 2;
	char *full = xasprintf("%s/%s", strcmp(dir, "/") == 0 ? "" : dir, p);
	free(*path);
	*path = full;
}

/* What model.checkpoint is the address of, if there is one. */
static bool
parse_checkpoint(const struct spec *s, struct rk_uri *u)
{
	struct rk_part p;

	if (s->model.checkpoint == NULL || rk_part_parse(&p,
	    s->model.checkpoint, NULL) != RK_OK)
		return false;
	const bool ok = rk_uri_parse(u, p.bare, NULL) == RK_OK;
	rk_part_fini(&p);
	return ok;
}

static void
resolve_all(struct spec *s, const char *dir)
{
	struct spec_file f[SPEC_FILES];
	const size_t n = spec_files(&s->data, f);
	struct rk_uri u;

	for (size_t i = 0; i < n; i++)
		resolve(f[i].name, dir);
	resolve(&s->model.warm.classes.file, dir);
	resolve(&s->model.warm.vocabulary, dir);
	if (!parse_checkpoint(s, &u))
		return;
	/* A file: address is absolute already. */
	if (u.kind == RK_URI_FILE && u.path[0] != '/')
		resolve(&s->model.checkpoint, dir);
	rk_uri_fini(&u);
}

/* The absolute folder of a file; the caller frees it. */
static char *
folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash == NULL ? xstrdup(".") : slash == path ?
	    xstrdup("/") : xstrndup(path, (size_t)(slash - path));
	char *full = realpath(dir, NULL);

	if (full == NULL)
		return dir;
	free(dir);
	return full;
}

static enum rk_err
read_text(const char *path, size_t max, char **text, size_t *len,
    struct rk_why *why)
{
	enum rk_err rc = rk_read_file(AT_FDCWD, path, max, text, len);

	if (rc == RK_ELIMIT) {
		char *sentence = rk_too_long(path, max);
		rc = rk_refuse(why, "%s", sentence);
		free(sentence);
	} else if (rc == RK_EINVAL) {
		struct stat st;
		rk_refuse(why, "cannot read %s: it is %s, want a job's file",
		    path, stat(path, &st) == 0 && S_ISDIR(st.st_mode) ?
		    "a folder" : "no regular file");
	} else if (rc != RK_OK) {
		rk_refuse(why, "cannot read %s: %s", path, rk_strerror(rc));
	}
	return rc;
}

enum rk_err
spec_read_text(const char *path, char **text, size_t *len, struct rk_why *why)
{
	return read_text(path, SPEC_MAX_BYTES, text, len, why);
}

enum rk_err
spec_faults_of(const char *path, struct rk_why *own, enum rk_err rc,
    struct rk_why *why)
{
	for (size_t i = 0; i < own->n; i++) {
		const struct rk_fault *f = &own->v[i];
		if (f->path == NULL || f->path[0] == '\0')
			rk_refuse(why, "%s: %s", path, f->message);
		else
			rk_refuse_at(why, f->path, "%s", f->message);
	}
	if (why != NULL)
		why->more += own->more;
	rk_why_fini(own);
	return rc;
}

static enum rk_err
load(const char *path, bool normal, struct spec **sp, struct rk_why *why)
{
	const char *dot = strrchr(path, '.');
	struct rk_why own = {0};
	char *text = NULL;
	size_t len = 0;

	enum rk_err rc = read_text(path, normal ? SPEC_MAX_NORMAL :
	    SPEC_MAX_BYTES, &text, &len, why);
	if (rc != RK_OK)
		return rc;
	const bool json = (dot != NULL && strcasecmp(dot, ".json") == 0) ||
	    (normal && text[0] == '{');
	rc = spec_faults_of(path, &own, sp_parse_text(text, len, !json, sp,
	    &own), why);
	free(text);
	if (rc == RK_OK) {
		char *dir = folder_of(path);
		resolve_all(*sp, dir);
		free(dir);
	}
	return rc;
}

enum rk_err
spec_load(const char *path, struct spec **sp, struct rk_why *why)
{
	return load(path, false, sp, why);
}

enum rk_err
spec_load_normal(const char *path, struct spec **sp, struct rk_why *why)
{
	return load(path, true, sp, why);
}

/* folder: it may be one. */
static void
check_file(const char *path, const char *field, bool folder, bool absolute,
    struct rk_why *why)
{
	struct stat st;
	bool there;

	if (path == NULL || spec_is_address(path))
		return;
	if (absolute && path[0] != '/') {
		rk_refuse_at(why, field, "is \"%s\", want an absolute path",
		    path);
		return;
	}
	there = stat(path, &st) == 0;
	if (there && !S_ISREG(st.st_mode) && !(folder && S_ISDIR(st.st_mode))) {
		rk_refuse_at(why, field, "is \"%s\", which is %s, want a file",
		    path, S_ISDIR(st.st_mode) ? "a folder" :
		    "no regular file");
	} else if (!there || access(path, there && S_ISDIR(st.st_mode) ?
	    R_OK | X_OK : R_OK) != 0) {
		char *reason = rk_why_unreadable(path, errno);
		rk_refuse_at(why, field, "is \"%s\": %s", path, reason);
		free(reason);
	}
}

/* A model in shards has an index in its place (ckpt.h). */
static bool
is_in_shards(const char *path)
{
	char *index = xasprintf("%s.index.json", path);
	const bool is = access(path, F_OK) != 0 && access(index, R_OK) == 0;

	free(index);
	return is;
}

enum rk_err
spec_check_files(const struct spec *s, bool absolute, struct rk_why *why)
{
	struct spec_data d = s->data;   /* borrows all it points to */
	struct spec_file f[SPEC_FILES];
	const size_t n = spec_files(&d, f);
	struct rk_why own = {0};
	struct rk_uri u;

	for (size_t i = 0; i < n; i++)
		check_file(*f[i].name, f[i].field, f[i].folder, absolute,
		    &own);
	check_file(s->model.warm.classes.file, "model.checkpoint_classes",
	    false, absolute, &own);
	check_file(s->model.warm.vocabulary, "model.checkpoint_vocabulary",
	    false, absolute, &own);
	if (parse_checkpoint(s, &u)) {
		if (u.kind == RK_URI_FILE && !is_in_shards(u.path))
			check_file(u.path, "model.checkpoint", s->kind !=
			    SPEC_JOB_TRAIN, absolute, &own);
		rk_uri_fini(&u);
	}
	return sp_hand_over(&own, why);
}
