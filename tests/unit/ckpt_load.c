/* Damaged checkpoints: told from good ones, and walked back past. */
#include <fcntl.h>
#include <sys/stat.h>

#include "rekindle/ckpt.h"
#include "t.h"
#include "u_ckpt.h"

#define D10 "c/step-000000010/"
#define D20 "c/step-000000020/"
#define D30 "c/step-000000030/"

/* Change the byte at `at` (from the end if negative). */
static void
flip(const char *path, off_t at)
{
	int fd = open(path, O_RDWR);
	char b;

	t_check(fd >= 0);
	at = lseek(fd, at, at < 0 ? SEEK_END : SEEK_SET);
	t_check(at >= 0 && pread(fd, &b, 1, at) == 1);
	b ^= 4;
	t_check(pwrite(fd, &b, 1, at) == 1);
	close(fd);
}

struct notes {
	int n;
	char last[400];
};

static void
note(void *ctx, const char *sentence)
{
	struct notes *k = ctx;

	k->n++;
	snprintf(k->last, sizeof(k->last), "%s", sentence);
}

/* Load, which must give this step; the notes are told. */
static void
loads(struct ckpt *c, const char *selector, int64_t step, struct notes *k)
{
	struct ckpt_info i;
	struct tensor_set *m, *o;
	struct rk_why why = {0};

	*k = (struct notes){0};
	log_set_level(LOG_L_ERROR);
	if (ckpt_load(c, selector, "acc", true, &i, &m, &o, note, k,
	    &why) != RK_OK)
		t_fail("%s: %s", selector, rk_why_first(&why));
	t_eq_int(i.step, step);
	struct tensor_set *want = tensors((uint64_t)step, 2);
	t_check(same_tensors(m, want) && same_tensors(o, want));
	tensor_set_free(want);
	tensor_set_free(m);
	tensor_set_free(o);
	ckpt_info_fini(&i);
}

static void
load_fails(struct ckpt *c, const char *selector, enum rk_err rc,
    const char *part)
{
	struct ckpt_info i;
	struct tensor_set *m, *o;
	struct rk_why why = {0};

	log_set_level(LOG_L_ERROR);
	t_eq_int(ckpt_load(c, selector, "acc", true, &i, &m, &o, NULL, NULL,
	    &why), rc);
	t_check(m == NULL && o == NULL);
	t_has(rk_why_first(&why), part);
	rk_why_fini(&why);
}

T_CASE(a_damaged_latest_is_set_aside_and_the_one_before_taken)
{
	struct ckpt *c = folder();
	struct notes k;

	saves(c, 3, 10, 20, 30);
	flip(D30 "model.safetensors", -1);
	flip(D20 "optimizer.safetensors", 4096);
	loads(c, "latest", 10, &k);
	t_eq_int(k.n, 2);
	t_has(k.last, "step-000000020 is damaged (optimizer.safetensors is "
	    "not what was written");
	t_has(k.last, "it is now bad-step-000000020");
	t_eq_int(count(c), 1);
	t_check(access("c/bad-step-000000030/model.safetensors", F_OK) == 0);
	loads(c, "latest", 10, &k);
	t_eq_int(k.n, 0);
	ckpt_close(&c);
}

static struct ckpt_info
save_as(struct ckpt *c, int64_t step, bool leaves)
{
	struct ckpt_info i = info_at(step);
	struct tensor_set *m = tensors((uint64_t)step, 2);

	i.leaves = leaves;
	t_eq_int(ckpt_save(c, &i, m, m, NULL), RK_OK);
	tensor_set_free(m);
	return i;
}

T_CASE(every_kind_of_damage_is_seen)
{
	static const char *const files[] = {
		"model.safetensors", "optimizer.safetensors", "checkpoint.json"
	};
	struct ckpt *c = folder();
	struct notes k;
	struct stat st;
	int64_t step = 100;

	saves(c, 1, 10);
	for (size_t f = 0; f < RK_ARRAY_LEN(files); f++) {
		char dir[64], *path;
		for (int how = 0; how < 5; how++) {
			step++;
			free_info(how == 4 ? save_as(c, step, true) :
			    save(c, step, 0.1));
			snprintf(dir, sizeof(dir), "c/step-%09lld",
			    (long long)step);
			path = xasprintf("%s/%s", dir, files[f]);
			t_check(stat(path, &st) == 0);
			if (how == 0)
				t_check(unlink(path) == 0);
			if (how == 1)
				t_check(truncate(path, st.st_size - 2) == 0);
			if (how == 2 || how == 4)
				flip(path, st.st_size / 2);
			if (how == 3)
				t_check(unlink(path) == 0 &&
				    mkdir(path, 0755) == 0);
			free(path);
			loads(c, "latest", 10, &k);
			t_eq_int(k.n, 1);
		}
	}
	ckpt_close(&c);
}

T_CASE(every_flipped_bit_of_checkpoint_json_is_seen)
{
	struct ckpt *c = folder();
	struct ckpt_info i;
	struct stat st;

	saves(c, 1, 10);
	log_set_level(LOG_L_ERROR);
	t_check(stat(D10 "checkpoint.json", &st) == 0);
	for (off_t at = 0; at < st.st_size; at++) {
		flip(D10 "checkpoint.json", at);
		t_eq_int(ckpt_read(c, "step-000000010", &i), RK_ECORRUPT);
		flip(D10 "checkpoint.json", at);
	}
	t_eq_int(ckpt_read(c, "step-000000010", &i), RK_OK);
	ckpt_info_fini(&i);
	ckpt_close(&c);
}

T_CASE(walking_back_crosses_to_where_the_branch_began)
{
	struct ckpt *c = folder();
	struct notes k;
	int branch;

	saves(c, 4, 10, 20, 30, 40);
	t_eq_int(ckpt_branch_from(c, "step-000000030", &branch), RK_OK);
	saves(c, 1, 35);
	t_eq_int(ckpt_branch_from(c, "step-000000020", &branch), RK_OK);
	t_eq_int(ckpt_branch_from(c, "step-000000035-b2", &branch), RK_OK);
	t_eq_int(branch, 4);
	saves(c, 2, 36, 37);
	flip("c/step-000000037-b4/model.safetensors", -1);
	loads(c, "latest", 36, &k);
	flip("c/step-000000036-b4/model.safetensors", -1);
	loads(c, "latest", 35, &k);
	flip("c/step-000000035-b2/model.safetensors", -1);
	loads(c, "latest", 30, &k);
	flip(D30 "model.safetensors", -1);
	loads(c, "latest", 20, &k);
	ckpt_close(&c);
}

T_CASE(the_next_best_stands_in_for_the_best)
{
	struct ckpt *c = folder();
	struct notes k;

	free_info(save(c, 10, 0.8));
	free_info(save(c, 20, 0.9));
	free_info(save(c, 30, 0.1));
	flip(D20 "model.safetensors", -1);
	loads(c, "best", 10, &k);
	t_eq_int(k.n, 1);
	ckpt_close(&c);
}

T_CASE(one_that_a_person_meant_is_not_replaced_by_another)
{
	struct ckpt *c = folder();

	saves(c, 2, 10, 20);
	t_eq_int(ckpt_name(c, "step-000000020", "mine"), RK_OK);
	flip(D20 "model.safetensors", -1);
	load_fails(c, "mine", RK_ECORRUPT, "step-000000020 is no good: model");
	load_fails(c, "step:20", RK_ECORRUPT, "XXH3");
	load_fails(c, "step-000000020", RK_ECORRUPT, "XXH3");
	t_eq_int(count(c), 2);
	flip(D20 "checkpoint.json", 5);
	load_fails(c, "step:20", RK_ECORRUPT, "is damaged: checkpoint.json");
	ckpt_close(&c);
}

T_CASE(when_none_is_good_any_more_that_is_said)
{
	struct ckpt *c = folder();

	load_fails(c, "latest", RK_ENOENT, "there is none");
	saves(c, 2, 10, 20);
	flip(D10 "model.safetensors", -1);
	flip(D20 "checkpoint.json", -20);
	load_fails(c, "latest", RK_ENOENT, "no checkpoint is good any more; 2");
	t_eq_int(count(c), 0);
	ckpt_close(&c);
}

T_CASE(a_name_for_what_is_set_aside_may_be_taken)
{
	struct ckpt *c = folder();
	struct notes k;

	saves(c, 2, 10, 20);
	for (int n = 0; n < 3; n++) {
		flip(D20 "model.safetensors", -1);
		loads(c, "latest", 10, &k);
		saves(c, 1, 20);
	}
	t_has(k.last, "bad-step-000000020-3");
	ckpt_close(&c);
}

T_CASE(saving_over_a_damaged_one_replaces_it)
{
	struct ckpt *c = folder();
	struct notes k;

	saves(c, 1, 10);
	log_set_level(LOG_L_ERROR);
	t_check(truncate(D10 "model.safetensors", 10) == 0);
	saves(c, 1, 10);
	loads(c, "latest", 10, &k);
	t_eq_int(k.n, 0);
	t_check(access("c/bad-step-000000010", F_OK) == 0);
	ckpt_close(&c);
}

T_CASE(a_folder_under_a_foreign_name_is_no_checkpoint)
{
	struct ckpt *c = folder();

	saves(c, 1, 10);
	log_set_level(LOG_L_ERROR);
	t_check(rename("c/step-000000010", "c/step-000000011") == 0);
	t_eq_int(count(c), 0);
	t_check(rename("c/step-000000011", "c/step-10") == 0);
	t_eq_int(count(c), 0);
	ckpt_close(&c);
}

/* checkpoint.json with one thing in it replaced, or taken out (v is NULL); its own
 * digest is right. */
static void
forge(const char *key, json_t *v)
{
	char hex[RK_SHA256_HEX], *s;
	json_t *o;
	size_t len;

	t_eq_int(rk_read_file(AT_FDCWD, D10 "checkpoint.json", 1 << 20, &s,
	    &len), RK_OK);
	t_eq_int(rkj_parse_json(s, len, &o, NULL), RK_OK);
	free(s);
	json_object_del(o, "check");
	json_object_del(o, key);
	t_check(v == NULL || json_object_set_new(o, key, v) == 0);
	s = rkj_text(o);
	rk_sha256_of(s, strlen(s), hex);
	free(s);
	json_object_set_new(o, "check", json_string(hex));
	s = rkj_text(o);
	write_file(D10 "checkpoint.json", s);
	free(s);
	json_decref(o);
}

static json_t *
file_entry(const char *name)
{
	static const char z[] = "00000000000000000000000000000000"
	    "00000000000000000000000000000000";
	return json_pack("{s:s, s:i, s:s}", "name", name, "size", 1,
	    "sha256", z);
}

static json_t *
with(json_t *file, const char *key, const char *text)
{
	json_object_set_new(file, key, json_string(text));
	return json_pack("[o]", file);
}

static json_t *
long_text(void)
{
	char text[200];

	memset(text, 'a', sizeof(text));
	return json_stringn(text, sizeof(text));
}

/* The list of files with one digest taken out of each. */
static void
forget(const char *digest)
{
	json_t *o, *files, *f;
	size_t len, k;
	char *s;

	t_eq_int(rk_read_file(AT_FDCWD, D10 "checkpoint.json", 1 << 20, &s,
	    &len), RK_OK);
	t_eq_int(rkj_parse_json(s, len, &o, NULL), RK_OK);
	free(s);
	files = json_incref(json_object_get(o, "files"));
	json_array_foreach(files, k, f)
		t_eq_int(json_object_del(f, digest), 0);
	forge("files", files);
	json_decref(o);
}

T_CASE(each_digest_alone_will_do_and_none_will_not)
{
	static const char *const files[] = {
		"model.safetensors", "optimizer.safetensors"
	};
	static const char *const digests[] = { "sha256", "xxh128" };
	struct ckpt *c = folder();
	struct ckpt_info i;
	struct notes k;

	for (size_t d = 0; d < RK_ARRAY_LEN(digests); d++) {
		for (size_t f = 0; f < RK_ARRAY_LEN(files); f++) {
			free_info(save_as(c, 10, true));
			forget(digests[d]);
			loads(c, "latest", 10, &k);
			t_eq_int(k.n, 0);
			char *path = xasprintf(D10 "%s", files[f]);
			flip(path, -1);
			free(path);
			load_fails(c, "step:10", RK_ECORRUPT, d == 0 ?
			    "its XXH3 digest is another" :
			    "its SHA-256 is another");
			free_info(save_as(c, 20, true));
			t_eq_int(ckpt_delete(c, "step-000000010"), RK_OK);
			t_eq_int(ckpt_set_aside(c, "step-000000020"), RK_OK);
		}
	}
	free_info(save_as(c, 10, true));
	forget("sha256");
	forget("xxh128");
	t_eq_int(ckpt_read(c, "step-000000010", &i), RK_ECORRUPT);
	ckpt_close(&c);
}

/* Format 1, as the version before wrote it. */
T_CASE(a_checkpoint_that_does_not_have_what_version_2_records_is_read)
{
	struct ckpt *c = folder();
	struct ckpt_info i;

	free_info(save_as(c, 10, true));
	forget("xxh128");
	forge("format", NULL);
	forge("program", NULL);
	forge("classes", NULL);
	forge("input", NULL);
	t_eq_int(ckpt_read(c, "step-000000010", &i), RK_OK);
	t_eq_int(i.format, 1);
	t_check(i.program[0] == '\0' && i.classes == NULL && i.input == NULL);
	ckpt_info_fini(&i);
	ckpt_close(&c);
}

T_CASE(a_checkpoint_json_that_lies_is_refused)
{
	struct ckpt *c = folder();
	char long_class[1025];
	memset(long_class, 'a', sizeof(long_class));
	struct { const char *key; json_t *v; } lies[] = {
		{ "version", json_integer(0) },
		{ "version", json_string("1") },
		{ "step", json_integer(11) },
		{ "step", json_integer(-10) },
		{ "branch", json_integer(0) },
		{ "branch", json_integer(2) },
		{ "metrics", json_array() },
		{ "state", json_integer(1) },
		{ "spec_digest", json_string("abc") },
		{ "producer", json_integer(1) },
		{ "arithmetic", json_string("oneDNN") },
		{ "arithmetic", json_pack("{s:i}", "gemm", 2) },
		{ "arithmetic", json_pack("{s:o}", "gemm", long_text()) },
		{ "inexact", json_true() },
		{ "inexact", json_pack("{s:s}", "reason", "x") },
		{ "inexact", json_pack("{s:s, s:i, s:i, s:s}", "reason",
		    "../x", "attempt", 1, "step", 1, "message", "") },
		{ "inexact", json_pack("{s:s, s:i, s:i, s:s}", "reason",
		    "x", "attempt", -1, "step", 1, "message", "") },
		{ "format", json_integer(0) },
		{ "format", json_string("2") },
		{ "program", json_string("abc") },
		{ "classes", json_object() },
		{ "classes", json_pack("[s, i]", "dent", 1) },
		{ "classes", json_pack("[o]", json_stringn(long_class,
		    sizeof(long_class))) },
		{ "input", json_array() },
		{ "files", json_array() },
		{ "files", json_object() },
		{ "files", json_pack("[o]", file_entry("../../etc/passwd")) },
		{ "files", json_pack("[o]", file_entry("checkpoint.json")) },
		{ "files", json_pack("[o]", file_entry("other.safetensors")) },
		{ "files", json_pack("[{s:s, s:i}]", "name", CKPT_MODEL_FILE,
		    "size", 1) },
		{ "files", with(file_entry(CKPT_MODEL_FILE), "xxh128", "") },
		{ "files", with(file_entry(CKPT_MODEL_FILE), "xxh128",
		    "0123456789abcdef0123456789abcde") },
		{ "files", with(file_entry(CKPT_MODEL_FILE), "xxh128",
		    "0123456789ABCDEF0123456789abcdef") },
		{ "files", with(file_entry(CKPT_MODEL_FILE), "xxh128",
		    "0123456789abcdef0123456789abcdef0") },
		{ "files", with(file_entry(CKPT_MODEL_FILE), "sha256",
		    "0123456789abcdef0123456789abcdef") },
		{ "files", json_pack("[oo]", file_entry(CKPT_MODEL_FILE),
		    file_entry(CKPT_MODEL_FILE)) },
	};

	log_set_level(LOG_L_ERROR);
	for (size_t k = 0; k < RK_ARRAY_LEN(lies); k++) {
		struct ckpt_info i;
		saves(c, 1, 10);
		forge(lies[k].key, lies[k].v);
		if (ckpt_read(c, "step-000000010", &i) != RK_ECORRUPT)
			t_fail("lie %zu (%s) was believed", k, lies[k].key);
		t_eq_int(count(c), 0);
	}
	/* And what is new in a later version of the same form is let be. */
	saves(c, 1, 10);
	forge("colour", json_string("blue"));
	t_eq_int(count(c), 1);
	ckpt_close(&c);
}

T_MAIN
