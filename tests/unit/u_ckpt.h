/* What the tests of ckpt share: small checkpoints, quickly made. */
#ifndef U_CKPT_H
#define U_CKPT_H

#include <dirent.h>

#define U_UNUSED __attribute__((unused))

/* A new folder "c", opened by its writer. */
static U_UNUSED struct ckpt *
folder(void)
{
	struct ckpt *c;

	t_eq_int(ckpt_open(&c, "c", true), RK_OK);
	return c;
}

static U_UNUSED struct ckpt_info
info_at(int64_t step)
{
	struct ckpt_info i = { .step = step, .epoch = step / 100, .seed = 1,
	    .producer = "test 1" };

	i.metrics = json_object();
	i.state = json_pack("{s:I}", "n", (json_int_t)step);
	return i;
}

/* n float tensors of 100 elements that are a function of key; their data live
 * as long as the test. */
static U_UNUSED struct tensor_set *
tensors(uint64_t key, int n)
{
	struct tensor_set *s = tensor_set_new();
	int64_t d = 100;
	char name[16];

	for (int k = 0; k < n; k++) {
		static float *pool;
		static size_t left;
		if (left < 100) {
			left = 100000;
			pool = xmalloc(left * sizeof(float));
		}
		rk_fill_unit(pool, 100, key, (uint32_t)k, 0, 0);
		snprintf(name, sizeof(name), "t%d", k);
		t_eq_int(tensor_set_add(s, name, DT_F32, 1, &d, pool, NULL),
		    RK_OK);
		pool += 100;
		left -= 100;
	}
	return s;
}

static U_UNUSED bool
same_tensors(const struct tensor_set *a, const struct tensor_set *b)
{
	for (size_t k = 0; k < a->n; k++) {
		if (strcmp(a->v[k].name, b->v[k].name) != 0 ||
		    memcmp(a->v[k].data, b->v[k].data, a->v[k].nbytes) != 0)
			return false;
	}
	return a->n == b->n;
}

static U_UNUSED struct ckpt_info
save(struct ckpt *c, int64_t step, double acc)
{
	struct ckpt_info i = info_at(step);
	struct tensor_set *m = tensors((uint64_t)step, 2);

	json_object_set_new(i.metrics, "acc", json_real(acc));
	t_eq_int(ckpt_save(c, &i, m, m, NULL), RK_OK);
	tensor_set_free(m);
	return i;
}

static U_UNUSED void
free_info(struct ckpt_info i)
{
	ckpt_info_fini(&i);
}

static U_UNUSED void
saves(struct ckpt *c, int n, ...)
{
	va_list ap;

	va_start(ap, n);
	for (int k = 0; k < n; k++)
		free_info(save(c, va_arg(ap, int), 0.5));
	va_end(ap);
}

static U_UNUSED int
count(struct ckpt *c)
{
	struct ckpt_info *v;
	size_t n;

	t_eq_int(ckpt_list(c, &v, &n), RK_OK);
	ckpt_list_free(v, n);
	return (int)n;
}

/* Entries of a folder but . and .. */
static U_UNUSED int
entries(const char *path)
{
	DIR *d = opendir(path);
	int n = -2;

	t_check(d != NULL);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static U_UNUSED void
selects(struct ckpt *c, const char *selector, const char *dir)
{
	struct ckpt_info i;
	struct rk_why why = {0};

	if (ckpt_select(c, selector, "acc", true, &i, &why) != RK_OK)
		t_fail("%s: %s", selector, rk_why_first(&why));
	t_eq_str(i.dir, dir);
	ckpt_info_fini(&i);
}

static U_UNUSED void
selects_none(struct ckpt *c, const char *selector, const char *part)
{
	struct ckpt_info i;
	struct rk_why why = {0};

	t_eq_int(ckpt_select(c, selector, "acc", true, &i, &why), RK_ENOENT);
	t_has(rk_why_first(&why), part);
	rk_why_fini(&why);
}

/* The steps that there are, in the list's order: "10 20". */
static U_UNUSED void
holds(struct ckpt *c, const char *steps)
{
	struct ckpt_info *v;
	struct strbuf b = {0};
	size_t n;

	t_eq_int(ckpt_list(c, &v, &n), RK_OK);
	for (size_t k = 0; k < n; k++)
		sb_addf(&b, "%s%lld", k > 0 ? " " : "", (long long)v[k].step);
	t_eq_str(sb_str(&b), steps);
	sb_fini(&b);
	ckpt_list_free(v, n);
}

/* How many files of it have SHA-256, and how many XXH3. */
static U_UNUSED void
digests(struct ckpt *c, const char *dir, int sha256, int xxh128)
{
	struct ckpt_info i;
	int sha = 0, xxh = 0;

	t_eq_int(ckpt_read(c, dir, &i), RK_OK);
	for (int k = 0; k < i.nfiles; k++) {
		sha += i.files[k].sha256[0] != '\0';
		xxh += i.files[k].xxh128[0] != '\0';
	}
	t_eq_int(sha, sha256);
	t_eq_int(xxh, xxh128);
	ckpt_info_fini(&i);
}

static U_UNUSED void
write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	t_check(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
}

#endif
