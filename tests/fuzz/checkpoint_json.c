/* module: ckpt */
/*
 * Any bytes as checkpoint.json of a folder that is then listed, read and
 * selected from.  The first byte says whether the text gets a right digest of
 * itself, without which a fuzzer would not get far.
 */
#include <string.h>

#include "ckpt_folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
set_up(void)
{
	open_folder();
	char *dir = xasprintf("%s/" DIR_NAME, ckpt_path(the));
	must(mkdir(dir, 0755) == 0);
	free(dir);
	open_dir();
}

/* The text with a right "check", or NULL if it is no object. */
static char *
with_check(const char *s, size_t n)
{
	char hex[RK_SHA256_HEX], *text;
	json_t *o = NULL;

	if (rkj_parse_json(s, n, &o, NULL) != RK_OK || !json_is_object(o)) {
		json_decref(o);
		return NULL;
	}
	json_object_del(o, "check");
	text = rkj_text(o);
	rk_sha256_of(text, strlen(text), hex);
	free(text);
	json_object_set_new(o, "check", json_string(hex));
	text = rkj_text(o);
	json_decref(o);
	return text;
}

static void
check(const struct ckpt_info *i)
{
	must(strcmp(i->dir, DIR_NAME) == 0 && i->step == 10 && i->branch == 1);
	must(i->nfiles >= 1 && i->nfiles <= CKPT_MAX_FILES);
	for (int k = 0; k < i->nfiles; k++)
		must(rk_name_ok(i->files[k].name));
	must(json_is_object(i->metrics) && json_is_object(i->state));
	json_t *v = ckpt_info_json(i);
	char *s = rkj_text(v);
	free(s);
	json_decref(v);
	must(ckpt_verify(the, i, NULL) == RK_ECORRUPT);
}

/* As one of a bucket's, of whatever step and branch. */
static void
any_folder(const char *s, size_t n)
{
	struct ckpt_info i;
	bool keep = false;

	if (ckpt_info_parse(s, n, NULL, &i, NULL) != RK_OK)
		return;
	must(ckpt_info_select(&i, 1, "latest", NULL, false, NULL) == 0);
	must(ckpt_info_select(&i, 1, i.dir, NULL, false, NULL) == 0);
	ckpt_info_keep(&i, 1, 1, 1, "acc", true, &keep);
	must(keep);
	ckpt_info_fini(&i);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct ckpt_info i, i2;
	char *text = NULL;

	if (n == 0 || n > 65536)
		return 0;
	if (the == NULL)
		set_up();
	if (p[0] != '!')
		text = with_check((const char *)p, n);
	const char *s = text != NULL ? text : (const char *)p;
	size_t len = text != NULL ? strlen(text) : n;
	put("checkpoint.json", s, len);
	any_folder(s, len);
	enum rk_err rc = ckpt_read(the, DIR_NAME, &i);
	/* RK_EINVAL: of a version that came later. */
	must(rc == RK_OK || rc == RK_ECORRUPT || rc == RK_EINVAL);
	must(rc == ckpt_info_parse(s, len, DIR_NAME, &i2, NULL));
	ckpt_info_fini(&i2);
	free(text);
	if (rc == RK_OK) {
		check(&i);
		ckpt_info_fini(&i);
	}
	struct rk_why why = {0};
	must(ckpt_select(the, "best", "acc", true, &i, &why) != RK_OK ||
	    rc == RK_OK);
	ckpt_info_fini(&i);
	rk_why_fini(&why);
	return 0;
}
