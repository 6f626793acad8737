/*
 * A job of kind predict or evaluate says which model it uses and little else:
 * what is known of that model is laid under it (spec_use()), so that what is
 * stored says all, and stays as it is whatever becomes of the other job.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "impl.h"

/* What is known of a model: the job that made it, and checkpoint.json. */
struct known_model {
	json_t *of;                     /* the job's normal form; NULL: none */
	struct ckpt_info info;          /* {0}: none */
};

static void
known_fini(struct known_model *k)
{
	json_decref(k->of);
	ckpt_info_fini(&k->info);
}

/* job://A/best: from here, or from a bucket. */
static enum rk_err
of_job(struct sup *s, const char *uri, struct known_model *k,
    struct rk_why *why)
{
	char *whole = NULL, *path = NULL;
	struct ckpt *c = NULL;
	struct job_row r;
	struct rk_uri u;
	enum rk_err rc = job_uri_resolve(s, uri, &path, &whole, why);

	if (rc != RK_OK)
		return rc;
	must(rk_uri_parse(&u, whole, NULL) == RK_OK);
	rc = store_job_get(s->store, u.host, &r);
	if (rc == RK_OK) {
		rc = row_spec(&r, &k->of, NULL, why);
		store_job_fini(&r);
	}
	/* The file is in the checkpoint, and that in the folder of all. */
	for (int i = 0; i < 2 && path != NULL; i++)
		*strrchr(path, '/') = '\0';
	if (rc == RK_OK && path != NULL) {
		rc = ckpt_open(&c, path, false);
		if (rc == RK_OK)
			rc = ckpt_read(c, path + strlen(path) + 1, &k->info);
		ckpt_close(&c);
	} else if (rc == RK_OK && s->up.info != NULL) {
		(void)s->up.info(s->up.ctx, u.host, u.path, &k->info);
	}
	rk_uri_fini(&u);
	free(whole);
	free(path);
	return rc;
}

/* A checkpoint's folder, or its model: what checkpoint.json tells, and if its
 * job is one of ours, that.  What is no checkpoint tells nothing. */
static enum rk_err
of_path(struct sup *s, const char *path, struct known_model *k)
{
	struct stat st;
	struct job_row r;
	char *text = NULL, *folder = xstrdup(path);
	size_t len;

	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode) &&
	    strrchr(folder, '/') != NULL)
		*strrchr(folder, '/') = '\0';
	char *json = xasprintf("%s/checkpoint.json", folder);
	if (rk_read_file(AT_FDCWD, json, CKPT_JSON_MAX, &text, &len) == RK_OK &&
	    ckpt_info_parse(text, len, NULL, &k->info, NULL) == RK_OK &&
	    rk_id_ok(k->info.job) &&
	    store_job_get(s->store, k->info.job, &r) == RK_OK) {
		(void)!row_spec(&r, &k->of, NULL, NULL);
		store_job_fini(&r);
	}
	free(text);
	free(json);
	free(folder);
	return RK_OK;
}

static enum rk_err
know(struct sup *s, const char *where, struct known_model *k,
    struct rk_why *why)
{
	struct rk_part part;
	struct rk_uri u;
	enum rk_err rc = RK_OK;

	if (rk_part_parse(&part, where, NULL) != RK_OK)
		return RK_OK;           /* the job is refused for it */
	if (rk_uri_parse(&u, part.bare, NULL) != RK_OK) {
		rc = of_path(s, part.bare, k);
	} else {
		if (u.kind == RK_URI_JOB)
			rc = of_job(s, where, k, why);
		else if (u.kind == RK_URI_FILE)
			rc = of_path(s, u.path, k);
		rk_uri_fini(&u);
	}
	rk_part_fini(&part);
	return rc;
}

enum rk_err
sup_use(struct sup *s, const json_t *said, json_t **job, struct rk_why *why)
{
	const char *where = json_string_value(json_object_get(json_object_get(
	    said, "model"), "checkpoint"));
	struct known_model k = { 0 };
	enum rk_err rc = RK_OK;

	must_be(s, SUP_TAG);
	if (where != NULL)
		rc = know(s, where, &k, why);
	if (rc == RK_OK)
		*job = spec_use(said, k.of, k.info.input, k.info.classes);
	known_fini(&k);
	return rc;
}
