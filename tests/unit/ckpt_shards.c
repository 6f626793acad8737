/* What is frozen lies in a file of its own, which checkpoints share. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rekindle/ckpt.h"
#include "rekindle/format_weights.h"
#include "t.h"
#include "u_ckpt.h"

/* t0 to t3, of which the first `frozen` are; what changes is of `key`. */
static struct tensor_set *
model(uint64_t key, int frozen)
{
	struct tensor_set *all = tensors(key, 4), *old = tensors(1, 4);

	for (int k = 0; k < frozen; k++) {
		all->v[k].data = old->v[k].data;
		all->v[k].part = CKPT_FROZEN;
	}
	tensor_set_free(old);
	return all;
}

static void
put(struct ckpt *c, int64_t step, int frozen, const char *name, bool leaves)
{
	struct ckpt_info i = info_at(step);
	struct tensor_set *m = model((uint64_t)step, frozen);
	struct tensor_set *o = tensors(7, 1);

	i.leaves = leaves;
	t_eq_int(ckpt_save(c, &i, m, o, name), RK_OK);
	tensor_set_free(m);
	tensor_set_free(o);
	ckpt_info_fini(&i);
}

/* The name of the shard of a checkpoint, and its path. */
static const char *
shard_of(struct ckpt *c, const char *dir)
{
	static char name[64];
	struct ckpt_info i;

	name[0] = '\0';
	t_eq_int(ckpt_read(c, dir, &i), RK_OK);
	for (int k = 0; k < i.nfiles; k++)
		if (ckpt_is_shared(&i.files[k]))
			snprintf(name, sizeof(name), "%s", i.files[k].name);
	ckpt_info_fini(&i);
	return name;
}

static const char *
path_of(struct ckpt *c, const char *dir)
{
	static char path[4][256];
	static int at;
	char *p = path[at++ % 4];

	snprintf(p, sizeof(path[0]), "c/%s/%s", dir, shard_of(c, dir));
	return p;
}

static ino_t
inode(const char *path)
{
	struct stat st;

	t_eq_int(stat(path, &st), 0);
	return st.st_ino;
}

static nlink_t
links(const char *path)
{
	struct stat st;

	t_eq_int(stat(path, &st), 0);
	return st.st_nlink;
}

/* A bad sector: bytes that nobody wrote, in all that share the file. */
static void
damage(const char *path)
{
	int fd = open(path, O_WRONLY);

	t_check(fd >= 0 && pwrite(fd, "bad", 3, 4100) == 3 && close(fd) == 0);
}

struct heard {
	int n;
	char last[512];
};

static void
hear(void *ctx, const char *sentence)
{
	struct heard *h = ctx;

	h->n++;
	snprintf(h->last, sizeof(h->last), "%s", sentence);
}

/* The newest loads, and is of the step. */
static void
loads(struct ckpt *c, int64_t step, int frozen, struct heard *h)
{
	struct tensor_set *want = model((uint64_t)step, frozen), *m, *o;
	struct rk_why why = {0};
	struct ckpt_info i;

	if (ckpt_load(c, "latest", NULL, true, &i, &m, &o, hear, h, &why) !=
	    RK_OK)
		t_fail("%s", rk_why_first(&why));
	t_eq_int(i.step, step);
	t_check(same_tensors(m, want));
	for (size_t k = 0; k < m->n; k++)
		t_eq_int(m->v[k].part, want->v[k].part);
	tensor_set_free(m);
	tensor_set_free(o);
	tensor_set_free(want);
	ckpt_info_fini(&i);
}

T_CASE(checkpoints_share_the_file_of_what_is_frozen)
{
	struct ckpt *c = folder();
	struct heard h = {0};

	put(c, 10, 3, NULL, false);
	put(c, 20, 3, NULL, false);
	t_eq_int(links(path_of(c, "step-000000020")), 2);
	ckpt_close(&c);
	/* A later process does, too. */
	c = folder();
	put(c, 30, 3, NULL, false);
	t_eq_int(links(path_of(c, "step-000000030")), 3);
	t_eq_int(entries("c/step-000000030"), 5);
	t_check(access("c/step-000000030/" CKPT_MODEL_FILE, F_OK) != 0);
	loads(c, 30, 3, &h);
	t_eq_int(h.n, 0);
	ckpt_close(&c);
}

T_CASE(the_file_stays_as_long_as_a_checkpoint_has_it)
{
	struct ckpt *c = folder();
	struct heard h = {0};
	int deleted;

	for (int64_t step = 10; step <= 30; step += 10)
		put(c, step, 2, NULL, false);
	t_eq_int(ckpt_retain(c, 1, 0, "acc", true, &deleted), RK_OK);
	t_eq_int(deleted, 2);
	t_eq_int(links(path_of(c, "step-000000030")), 1);
	loads(c, 30, 2, &h);
	ckpt_close(&c);
}

T_CASE(a_thaw_shares_no_more)
{
	struct ckpt *c = folder();
	struct heard h = {0};
	char before[64];

	put(c, 10, 3, NULL, false);
	put(c, 20, 2, NULL, false);
	snprintf(before, sizeof(before), "%s", shard_of(c, "step-000000010"));
	t_check(strcmp(before, shard_of(c, "step-000000020")) != 0);
	put(c, 30, 0, NULL, false);
	t_eq_str(shard_of(c, "step-000000030"), "");
	t_eq_int(access("c/step-000000030/" CKPT_MODEL_FILE, F_OK), 0);
	loads(c, 30, 0, &h);
	ckpt_close(&c);
}

static int64_t
field(const char *dir, const char *key)
{
	char path[128], *text;
	json_t *o = NULL;
	size_t len;

	snprintf(path, sizeof(path), "c/%s/checkpoint.json", dir);
	t_eq_int(rk_read_file(AT_FDCWD, path, CKPT_JSON_MAX, &text, &len),
	    RK_OK);
	t_eq_int(rkj_parse_json(text, len, &o, NULL), RK_OK);
	int64_t n = json_integer_value(json_object_get(o, key));
	json_decref(o);
	free(text);
	return n;
}

T_CASE(a_rekindle_that_knows_no_shards_is_told_by_the_version)
{
	struct ckpt *c = folder();

	put(c, 10, 2, NULL, false);
	put(c, 20, 0, NULL, false);
	t_eq_int(field("step-000000010", "version"), 2);
	t_eq_int(field("step-000000010", "format"), 4);
	t_eq_int(field("step-000000020", "version"), 1);
	t_eq_int(field("step-000000020", "format"), 3);
	ckpt_close(&c);
}

T_CASE(the_index_is_what_other_libraries_read)
{
	struct ckpt *c = folder();
	struct weights *w;
	struct rk_why why = {0};

	put(c, 10, 3, NULL, false);
	if (weights_open("c/step-000000010/" CKPT_INDEX_FILE, NULL, &w,
	    &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	t_eq_int(w->format, WEIGHTS_SAFETENSORS_INDEX);
	t_eq_int(w->n, 4);
	t_eq_int(w->nnotes, 0);
	weights_free(w);
	ckpt_close(&c);
}

T_CASE(an_index_that_is_not_of_the_shards_is_damage)
{
	static const struct {
		const char *text, *said;
	} bad[] = {
		{ "{", "is no JSON" },
		{ "{}", "does not name all" },
		{ "{\"weight_map\": {\"t0\": \"../x\"}}", "not where it says" },
		{ "{\"weight_map\": {\"t0\": \"trained.safetensors\"}}",
		    "not where it says" },
		{ "{\"weight_map\": {\"t3\": \"trained.safetensors\"}}",
		    "does not name all" },
		{ "{\"weight_map\": {\"t3\": 5}}", "not where it says" },
	};
	struct ckpt *c = folder();
	struct tensor_set *m;
	struct ckpt_info i;

	put(c, 10, 3, NULL, false);
	t_eq_int(ckpt_read(c, "step-000000010", &i), RK_OK);
	for (size_t k = 0; k < RK_ARRAY_LEN(bad); k++) {
		struct rk_why why = {0};
		write_file("c/step-000000010/" CKPT_INDEX_FILE, bad[k].text);
		t_eq_int(ckpt_load_model("c/step-000000010", &i, &m, &why),
		    RK_ECORRUPT);
		t_has(rk_why_first(&why), bad[k].said);
		t_check(m == NULL);
		rk_why_fini(&why);
	}
	ckpt_info_fini(&i);
	ckpt_close(&c);
}

T_CASE(a_copy_of_another_checkpoint_mends_all_that_share_the_damaged_one)
{
	struct ckpt *c = folder();
	struct heard h = {0};

	put(c, 10, 3, NULL, false);
	/* Its own copy, as where there are no hard links. */
	t_eq_int(system("cp -r c/step-000000010 keep"), 0);
	put(c, 20, 3, NULL, false);
	put(c, 30, 3, NULL, false);
	t_eq_int(system("rm -r c/step-000000010 && mv keep "
	    "c/step-000000010"), 0);
	damage(path_of(c, "step-000000030"));
	ckpt_close(&c);
	c = folder();
	loads(c, 30, 3, &h);
	t_eq_int(h.n, 1);
	t_has(h.last, "whole again");
	t_check(inode(path_of(c, "step-000000020")) ==
	    inode(path_of(c, "step-000000010")));
	t_eq_int(links(path_of(c, "step-000000030")), 3);
	holds(c, "10 20 30");
	t_eq_int(entries("c/step-000000020"), 5);
	ckpt_close(&c);
}

T_CASE(without_any_good_copy_each_is_set_aside)
{
	struct ckpt *c = folder();
	struct heard h = {0};
	struct tensor_set *m, *o;
	struct ckpt_info i;

	put(c, 10, 3, NULL, false);
	put(c, 20, 3, NULL, false);
	damage(path_of(c, "step-000000020"));
	ckpt_close(&c);
	c = folder();
	t_eq_int(ckpt_load(c, "latest", NULL, true, &i, &m, &o, hear, &h,
	    NULL), RK_ENOENT);
	t_eq_int(h.n, 2);
	ckpt_close(&c);
}

T_CASE(what_is_in_memory_mends_what_is_on_the_disk)
{
	struct ckpt *c = folder();
	struct heard h = {0};

	put(c, 10, 3, NULL, false);
	put(c, 20, 3, NULL, false);
	damage(path_of(c, "step-000000020"));
	ckpt_close(&c);
	c = folder();
	put(c, 30, 3, NULL, false);
	t_eq_int(links(path_of(c, "step-000000010")), 3);
	loads(c, 30, 3, &h);
	t_eq_int(h.n, 0);
	ckpt_close(&c);
}

T_CASE(a_good_copy_from_elsewhere_mends_all_that_are_to_have_it)
{
	struct ckpt *c = folder();
	struct ckpt_file bad[CKPT_BAD_MAX];
	struct heard h = {0};
	int n, mended;

	for (int64_t step = 10; step <= 40; step += 10)
		put(c, step, 3, NULL, false);
	t_check(ckpt_any_shards(c));
	t_eq_int(ckpt_bad_shards(c, bad, &n), RK_OK);
	t_eq_int(n, 0);
	t_eq_int(system("cp c/step-000000010/frozen-* good"), 0);
	damage(path_of(c, "step-000000010"));
	t_eq_int(rename("c/step-000000010", "c/bad-step-000000010"), 0);
	t_eq_int(unlink(path_of(c, "step-000000020")), 0);
	ckpt_close(&c);
	c = folder();
	t_eq_int(ckpt_bad_shards(c, bad, &n), RK_OK);
	t_eq_int(n, 1);
	t_eq_str(bad[0].name, shard_of(c, "step-000000030"));
	t_eq_int(ckpt_mend(c, &bad[0], path_of(c, "step-000000040"), &mended),
	    RK_ECORRUPT);
	t_eq_int(mended, 0);
	t_eq_int(ckpt_mend(c, &bad[0], "good", &mended), RK_OK);
	t_eq_int(mended, 4);
	t_eq_int(links("good"), 5);
	t_eq_int(ckpt_bad_shards(c, bad, &n), RK_OK);
	t_eq_int(n, 0);
	loads(c, 40, 3, &h);
	t_eq_int(h.n, 0);
	holds(c, "20 30 40");
	ckpt_close(&c);
}

/* Also of one that is linked, and was without when it was written. */
T_CASE(what_leaves_or_has_a_name_has_sha256_of_each_file)
{
	struct ckpt *c = folder();
	static const char *const dirs[] = { "step-000000020",
		"step-000000030", "step-000000010" };

	put(c, 10, 3, NULL, false);
	put(c, 20, 3, NULL, true);
	put(c, 30, 3, "mine", false);
	t_eq_int(ckpt_name(c, "step-000000010", "first"), RK_OK);
	for (size_t k = 0; k < RK_ARRAY_LEN(dirs); k++) {
		struct rk_why why = {0};
		struct ckpt_info i;
		t_eq_int(ckpt_read(c, dirs[k], &i), RK_OK);
		for (int f = 0; f < i.nfiles; f++)
			t_eq_int(strlen(i.files[f].sha256), 64);
		t_eq_int(ckpt_verify(c, &i, &why), RK_OK);
		ckpt_info_fini(&i);
	}
	t_eq_int(system("cd c/step-000000010 && sha256sum --quiet -c "
	    "SHA256SUMS"), 0);
	/* The digest of the linked one is right, too. */
	for (int f = 0; f < 2; f++) {
		char cmd[512];
		struct ckpt_info i;
		t_eq_int(ckpt_read(c, dirs[f], &i), RK_OK);
		for (int k = 0; k < i.nfiles; k++) {
			snprintf(cmd, sizeof(cmd), "echo '%s  c/%s/%s' | "
			    "sha256sum --quiet -c", i.files[k].sha256, dirs[f],
			    i.files[k].name);
			t_eq_int(system(cmd), 0);
		}
		ckpt_info_fini(&i);
	}
	ckpt_close(&c);
}

T_MAIN
