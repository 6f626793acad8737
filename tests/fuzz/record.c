/* module: store */
/*
 * Any JSON as the record of a job: refused with a path and without a trace, or
 * imported, and then exported as a record that is the same when it is imported
 * again.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "rekindle/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static struct store *the;
static char dir[64];

static void
remove_all(void)
{
	store_close(&the);
	(void)!rk_remove_tree(AT_FDCWD, dir);
}

/* In memory where there is such a place: each import is synced. */
static void
set_up(void)
{
	log_set_level(LOG_L_ERROR + 1);
	strcpy(dir, "/dev/shm/rk-fuzz-XXXXXX");
	if (mkdtemp(dir) == NULL) {
		strcpy(dir, "/tmp/rk-fuzz-XXXXXX");
		must(mkdtemp(dir) != NULL);
	}
	char *path = xasprintf("%s/test.db", dir);
	must(store_open(&the, path, NULL) == RK_OK);
	free(path);
	atexit(remove_all);
}

static int64_t
total(void)
{
	int64_t n[JOB_STATES], sum = 0;

	must(store_counts(the, n) == RK_OK);
	for (int i = 0; i < JOB_STATES; i++) {
		must(n[i] >= 0);
		sum += n[i];
	}
	return sum;
}

static void
check(const char *id)
{
	json_t *one, *two;
	int64_t before = total();

	must(store_job_export(the, id, &one) == RK_OK);
	must(store_job_import(the, one, NULL, NULL, NULL) == RK_OK);
	must(store_job_export(the, id, &two) == RK_OK);
	must(json_equal(one, two));
	must(total() == before);
	json_decref(one);
	json_decref(two);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct rk_why why = {0};
	json_t *v = NULL;

	if (the == NULL)
		set_up();
	if (n > 65536 ||
	    rkj_parse_json((const char *)p, n, &v, NULL) != RK_OK)
		return 0;
	int64_t before = total();
	enum rk_err rc = store_job_import(the, v, NULL, NULL, &why);
	must(rc == RK_OK || rc == RK_EINVAL);
	must((rc == RK_OK) == (why.n == 0));
	if (rc == RK_OK)
		check(json_string_value(json_object_get(
		    json_object_get(v, "row"), "id")));
	else
		must(total() == before);
	rk_why_fini(&why);
	json_decref(v);
	return 0;
}
