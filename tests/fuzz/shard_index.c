/* module: ckpt */
/*
 * Any bytes as the index of a good checkpoint in shards: the whole model, or
 * damage.
 */
#include <string.h>

#include "ckpt_folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static struct ckpt_info info;
static char *folder;

static void
forget(void)
{
	ckpt_info_fini(&info);
	free(folder);
}

static void
set_up(void)
{
	static const float x[3] = { 1, 2, 3 };
	const int64_t d = 1;
	struct tensor_set *s = tensor_set_new();

	open_folder();
	info.step = 10;
	for (int k = 0; k < 3; k++) {
		char name[] = { (char)('a' + k), '\0' };
		must(tensor_set_add(s, name, DT_F32, 1, &d, x + k, NULL) ==
		    RK_OK);
		s->v[k].part = k < 2 ? CKPT_FROZEN : CKPT_TRAINED;
	}
	must(ckpt_save(the, &info, s, s, NULL) == RK_OK);
	must(ckpt_in_shards(&info));
	tensor_set_free(s);
	open_dir();
	folder = xasprintf("%s/" DIR_NAME, ckpt_path(the));
	atexit(forget);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct tensor_set *s;
	struct rk_why why = {0};

	if (n > 65536)
		return 0;
	if (the == NULL)
		set_up();
	put(CKPT_INDEX_FILE, p, n);
	const enum rk_err rc = ckpt_load_model(folder, &info, &s, &why);
	must(rc == RK_OK || rc == RK_ECORRUPT || rc == RK_EINVAL);
	must((s != NULL) == (rc == RK_OK) && (why.n > 0) == (rc != RK_OK));
	for (size_t i = 0; s != NULL && i < s->n; i++) {
		float x;
		must(tensor_to_f32(&s->v[i], &x) == RK_OK);
		must((float)(s->v[i].name[0] - 'a' + 1) == x);
		must(s->v[i].part == (x < 3 ? CKPT_FROZEN : CKPT_TRAINED));
	}
	must(s == NULL || s->n == 3);
	tensor_set_free(s);
	rk_why_fini(&why);
	return 0;
}
