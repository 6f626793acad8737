/* Checkpoints written, listed, chosen, named, kept and deleted. */
#include <fcntl.h>
#include <sys/stat.h>

#include "rekindle/ckpt.h"
#include "t.h"
#include "u_ckpt.h"

T_CASE(what_is_saved_is_loaded)
{
	struct ckpt *c = folder();
	struct ckpt_info i = info_at(1200), out;
	struct tensor_set *m = tensors(1200, 3), *o = tensors(7, 6), *rm, *ro;
	struct rk_why why = {0};

	json_object_set_new(i.metrics, "loss", json_real(0.1));
	i.learning_rate = 0.001;
	i.sample = 64;
	i.seed = 1ull << 53;
	t_eq_int(ckpt_save(c, &i, m, o, NULL), RK_OK);
	t_eq_str(i.dir, "step-000001200");
	t_eq_int(i.branch, 1);
	t_eq_int(i.nfiles, 2);
	t_check(i.created_ms > 0);
	t_eq_int(ckpt_load(c, "latest", NULL, false, &out, &rm, &ro, NULL,
	    NULL, &why), RK_OK);
	t_eq_str(out.dir, i.dir);
	t_eq_str(out.digest, i.digest);
	t_eq_int(out.bytes, i.bytes);
	t_eq_int(out.sample, 64);
	t_check(out.seed == 1ull << 53);
	t_check(out.learning_rate == 0.001);
	t_near(json_real_value(json_object_get(out.metrics, "loss")), 0.1, 0);
	t_eq_int(json_integer_value(json_object_get(out.state, "n")), 1200);
	t_check(same_tensors(rm, m) && same_tensors(ro, o));
	tensor_set_free(m);
	tensor_set_free(o);
	tensor_set_free(rm);
	tensor_set_free(ro);
	ckpt_info_fini(&i);
	ckpt_info_fini(&out);
	ckpt_close(&c);
	ckpt_close(&c);
}

T_CASE(the_arithmetic_and_what_broke_it_are_kept_and_shown)
{
	struct ckpt *c = folder();
	struct ckpt_info i = info_at(5), out;
	struct tensor_set *m = tensors(5, 2);

	i.arithmetic = json_pack("{s:s}", "gemm", "oneDNN 2.6.3");
	i.inexact = json_pack("{s:s, s:i, s:i, s:s}", "reason",
	    "arithmetic_changed", "attempt", 2, "step", 3, "message", "was x");
	t_eq_int(ckpt_save(c, &i, m, NULL, NULL), RK_OK);
	t_eq_int(ckpt_read(c, "step-000000005", &out), RK_OK);
	t_check(json_equal(out.arithmetic, i.arithmetic));
	t_check(json_equal(out.inexact, i.inexact));
	json_t *shown = ckpt_info_json(&out);
	t_check(json_equal(json_object_get(shown, "inexact"), i.inexact));
	json_decref(shown);
	ckpt_info_fini(&out);
	ckpt_info_fini(&i);
	/* One that has neither. */
	i = save(c, 6, 0.5);
	t_eq_int(ckpt_read(c, "step-000000006", &out), RK_OK);
	t_check(out.arithmetic == NULL && out.inexact == NULL);
	shown = ckpt_info_json(&out);
	t_check(json_is_null(json_object_get(shown, "arithmetic")));
	json_decref(shown);
	ckpt_info_fini(&out);
	ckpt_info_fini(&i);
	tensor_set_free(m);
	ckpt_close(&c);
}

T_CASE(what_version_2_records_is_kept_and_read_back)
{
	static const char program[] = "0123456789abcdef0123456789abcdef"
	    "0123456789abcdef0123456789abcdef";
	struct ckpt *c = folder();
	struct ckpt_info i = info_at(5), out;
	struct tensor_set *m = tensors(5, 2);

	snprintf(i.program, sizeof(i.program), "%s", program);
	i.classes = json_pack("[s, s]", "scratch", "dent");
	i.input = json_pack("{s:s, s:[i, i, i]}", "dtype", "f32", "shape", 1,
	    28, 28);
	t_eq_int(ckpt_save(c, &i, m, NULL, NULL), RK_OK);
	t_eq_int(ckpt_read(c, "step-000000005", &out), RK_OK);
	t_eq_int(out.format, 3);
	t_eq_str(out.program, program);
	t_check(json_equal(out.classes, i.classes));
	t_check(json_equal(out.input, i.input));
	/* The input may be long: a list of checkpoints is not. */
	json_t *shown = ckpt_info_json(&out);
	t_eq_str(json_string_value(json_object_get(shown, "program")),
	    program);
	t_check(json_equal(json_object_get(shown, "classes"), i.classes));
	t_check(json_object_get(shown, "input") == NULL);
	json_decref(shown);
	ckpt_info_fini(&out);
	ckpt_info_fini(&i);
	tensor_set_free(m);
	ckpt_close(&c);
}

T_CASE(an_optimiser_without_state_has_no_file)
{
	struct ckpt *c = folder();
	struct ckpt_info i = info_at(1), out;
	struct tensor_set *m = tensors(1, 2), *rm, *ro;

	t_eq_int(ckpt_save(c, &i, m, NULL, NULL), RK_OK);
	t_eq_int(i.nfiles, 1);
	t_eq_int(ckpt_load(c, "step:1", NULL, false, &out, &rm, &ro, NULL,
	    NULL, NULL), RK_OK);
	t_check(ro == NULL);
	tensor_set_free(rm);
	tensor_set_free(m);
	ckpt_info_fini(&i);
	ckpt_info_fini(&out);
	ckpt_close(&c);
}

T_CASE(what_is_known_of_the_data_is_a_file_of_the_checkpoint)
{
	struct ckpt *c = folder();
	struct ckpt_info i = info_at(5), j = info_at(6), out;
	struct tensor_set *m = tensors(5, 2), *d = tensors(9, 3), *rm, *ro, *rd;
	struct rk_why why = {0};

	i.data = d;
	t_eq_int(ckpt_save(c, &i, m, NULL, NULL), RK_OK);
	t_eq_int(i.nfiles, 2);
	t_eq_str(i.files[1].name, CKPT_DATA_FILE);
	t_check(i.files[1].xxh128[0] != '\0');
	t_eq_int(ckpt_load(c, "latest", NULL, false, &out, &rm, &ro, NULL,
	    NULL, &why), RK_OK);
	t_check(ro == NULL);
	t_eq_int(ckpt_load_data(c, &out, &rd, &why), RK_OK);
	t_check(same_tensors(rd, d));
	tensor_set_free(rd);
	tensor_set_free(rm);
	free_info(out);
	/* One that is damaged is seen as in any other file. */
	t_check(truncate("c/step-000000005/" CKPT_DATA_FILE, 10) == 0);
	t_eq_int(ckpt_verify(c, &i, &why), RK_ECORRUPT);
	t_has(rk_why_first(&why), CKPT_DATA_FILE);
	rk_why_fini(&why);
	t_eq_int(ckpt_save(c, &j, m, NULL, NULL), RK_OK);
	t_eq_int(ckpt_load_data(c, &j, &rd, &why), RK_ENOENT);
	t_check(rd == NULL);
	tensor_set_free(m);
	tensor_set_free(d);
	free_info(i);
	free_info(j);
	ckpt_close(&c);
}

T_CASE(what_leaves_or_has_a_name_has_sha256_too_and_what_stays_has_not)
{
	struct ckpt *c = folder();
	struct ckpt_info a = info_at(1), b = info_at(2), n = info_at(3);
	struct tensor_set *m = tensors(5, 2);

	t_eq_int(ckpt_save(c, &a, m, m, NULL), RK_OK);
	b.leaves = true;
	t_eq_int(ckpt_save(c, &b, m, m, NULL), RK_OK);
	t_eq_int(ckpt_save(c, &n, m, m, "mine"), RK_OK);
	digests(c, a.dir, 0, 2);
	digests(c, b.dir, 2, 2);
	digests(c, n.dir, 2, 2);
	tensor_set_free(m);
	ckpt_info_fini(&a);
	ckpt_info_fini(&b);
	ckpt_info_fini(&n);
	ckpt_close(&c);
}

T_CASE(a_files_sums_are_made_in_the_reading_that_checks_it)
{
	struct ckpt *c = folder();
	struct ckpt_info i = save(c, 5, 0.5);
	struct rk_why why = {0};
	char hex[RK_SHA256_HEX], want[RK_SHA256_HEX];

	int fd = open("c/step-000000005/model.safetensors", O_RDWR);
	t_eq_int(rk_sha256_of_fd(fd, want, NULL), RK_OK);
	t_eq_int(ckpt_file_sums(fd, &i.files[0], hex, &why), RK_OK);
	t_eq_str(hex, want);
	t_check(pwrite(fd, "X", 1, 4200) == 1);
	t_eq_int(ckpt_file_sums(fd, &i.files[0], hex, &why), RK_ECORRUPT);
	t_has(rk_why_first(&why), "its XXH3 digest is another");
	rk_why_fini(&why);
	close(fd);
	ckpt_info_fini(&i);
	ckpt_close(&c);
}

T_CASE(the_same_step_twice_is_one_checkpoint)
{
	struct ckpt *c = folder();
	struct ckpt_info a = save(c, 5, 0.5), b = info_at(5);
	struct tensor_set *m = tensors(5, 2);

	t_eq_int(ckpt_save(c, &b, m, NULL, "here"), RK_OK);
	t_eq_str(b.digest, a.digest);
	t_eq_int(b.nfiles, a.nfiles);
	t_eq_int(count(c), 1);
	tensor_set_free(m);
	ckpt_info_fini(&a);
	t_eq_int(ckpt_read(c, "here", &a), RK_OK);
	t_eq_str(a.dir, b.dir);
	t_eq_str(a.names[0], "here");
	ckpt_info_fini(&a);
	ckpt_info_fini(&b);
	ckpt_close(&c);
}

T_CASE(the_list_is_by_branch_then_step_with_names)
{
	struct ckpt *c = folder();
	struct ckpt_info *v;
	size_t n;
	int branch = 0;

	saves(c, 3, 30, 10, 20);
	t_eq_int(ckpt_name(c, "step-000000020", "twenty"), RK_OK);
	t_eq_int(ckpt_name(c, "step-000000020", "a-score"), RK_OK);
	t_eq_int(ckpt_branch_from(c, "step-000000010", &branch), RK_OK);
	t_eq_int(branch, 2);
	saves(c, 1, 15);
	t_eq_int(ckpt_list(c, &v, &n), RK_OK);
	t_eq_int(n, 4);
	t_eq_str(v[0].dir, "step-000000010");
	t_check(v[0].names[0] == NULL);
	t_eq_str(v[1].dir, "step-000000020");
	t_eq_str(v[1].names[0], "a-score");
	t_eq_str(v[1].names[1], "twenty");
	t_eq_str(v[2].dir, "step-000000030");
	t_eq_str(v[3].dir, "step-000000015-b2");
	ckpt_list_free(v, n);
	ckpt_close(&c);
}

T_CASE(a_selector_finds_what_it_says)
{
	struct ckpt *c = folder();
	int branch;

	free_info(save(c, 10, 0.7));
	free_info(save(c, 20, 0.9));
	free_info(save(c, 30, 0.8));
	t_eq_int(ckpt_name(c, "step-000000010", "before-lr-drop"), RK_OK);
	selects(c, "latest", "step-000000030");
	selects(c, "best", "step-000000020");
	selects(c, "step:10", "step-000000010");
	selects(c, "before-lr-drop", "step-000000010");
	selects(c, "step-000000020", "step-000000020");

	t_eq_int(ckpt_branch_from(c, "step-000000010", &branch), RK_OK);
	selects(c, "latest", "step-000000010");
	selects(c, "step:20", "step-000000020");
	free_info(save(c, 20, 0.95));
	selects(c, "latest", "step-000000020-b2");
	selects(c, "step:20", "step-000000020-b2");
	selects(c, "best", "step-000000020-b2");

	selects_none(c, "step:11", "there is no checkpoint \"step:11\"");
	selects_none(c, "nobody", "(before-lr-drop)");
	selects_none(c, "step-000000099", "there is step-000000020-b2");
	struct rk_why why = {0};
	struct ckpt_info out;
	t_eq_int(ckpt_select(c, "best", "speed", true, &out, &why), RK_ENOENT);
	t_has(rk_why_first(&why), "no checkpoint has the metric \"speed\"");
	t_eq_int(ckpt_select(c, "step:x", NULL, true, &out, NULL), RK_EINVAL);
	t_eq_int(ckpt_select(c, "../x", NULL, true, &out, NULL), RK_ENOENT);
	rk_why_fini(&why);
	ckpt_close(&c);
}

T_CASE(best_looks_the_way_it_is_told)
{
	struct ckpt *c = folder();
	struct ckpt_info i;

	free_info(save(c, 10, 0.7));
	free_info(save(c, 20, 0.7));
	free_info(save(c, 30, 0.5));
	t_eq_int(ckpt_select(c, "best", "acc", true, &i, NULL), RK_OK);
	t_eq_int(i.step, 10);           /* the first of equals */
	ckpt_info_fini(&i);
	t_eq_int(ckpt_select(c, "best", "acc", false, &i, NULL), RK_OK);
	t_eq_int(i.step, 30);
	ckpt_info_fini(&i);
	ckpt_close(&c);
}

T_CASE(going_on_from_the_latest_stays_on_the_branch)
{
	struct ckpt *c = folder();
	int branch = 0;

	t_eq_int(ckpt_branch_from(c, NULL, &branch), RK_OK);
	t_eq_int(branch, 1);
	saves(c, 2, 10, 20);
	t_eq_int(ckpt_branch_from(c, "step-000000020", &branch), RK_OK);
	t_eq_int(branch, 1);
	t_eq_int(ckpt_branch_from(c, "step-000000010", &branch), RK_OK);
	t_eq_int(branch, 2);
	/* A crash before the first checkpoint of a branch: still that one. */
	t_eq_int(ckpt_branch_from(c, "step-000000010", &branch), RK_OK);
	t_eq_int(branch, 2);
	t_eq_int(ckpt_branch_from(c, "step-000000099", &branch), RK_ENOENT);
	/* From nothing, where there is something: a branch of its own. */
	t_eq_int(ckpt_branch_from(c, "", &branch), RK_OK);
	t_eq_int(branch, 3);
	selects_none(c, "latest", "this branch has no checkpoint");
	saves(c, 1, 5);
	selects(c, "latest", "step-000000005-b3");
	ckpt_close(&c);
}

T_CASE(a_lost_branch_file_is_made_up_for_by_the_folders)
{
	struct ckpt *c = folder();
	int branch;

	saves(c, 2, 10, 20);
	t_eq_int(ckpt_branch_from(c, "step-000000010", &branch), RK_OK);
	saves(c, 1, 15);
	write_file("c/branch.json", "{\"branch\": nonsense");
	log_set_level(LOG_L_ERROR);
	selects(c, "latest", "step-000000015-b2");
	t_check(unlink("c/branch.json") == 0);
	selects(c, "latest", "step-000000015-b2");
	ckpt_close(&c);
}

T_CASE(a_name_moves_and_a_foreign_link_is_ignored)
{
	struct ckpt *c = folder();
	struct ckpt_info i;

	saves(c, 2, 10, 20);
	t_eq_int(ckpt_name(c, "step-000000010", "good"), RK_OK);
	t_eq_int(ckpt_name(c, "step-000000020", "good"), RK_OK);
	selects(c, "good", "step-000000020");
	t_eq_int(ckpt_unname(c, "good"), RK_OK);
	t_eq_int(ckpt_unname(c, "good"), RK_ENOENT);
	selects_none(c, "good", "no checkpoint");

	t_check(symlink("/etc", "c/foreign") == 0);
	t_check(symlink("../c/step-000000010", "c/aslant") == 0);
	t_check(symlink("step-000000077", "c/dangling") == 0);
	t_check(symlink("step-000000010", "c/step-000000005") == 0);
	t_eq_int(ckpt_read(c, "foreign", &i), RK_ENOENT);
	t_eq_int(ckpt_read(c, "aslant", &i), RK_ENOENT);
	t_eq_int(ckpt_read(c, "dangling", &i), RK_ENOENT);
	t_check(ckpt_read(c, "step-000000005", &i) != RK_OK);
	log_set_level(LOG_L_ERROR);
	t_eq_int(count(c), 2);
	ckpt_close(&c);
}

T_CASE(names_that_would_mean_something_else_are_refused)
{
	static const char *const bad[] = {
		"latest", "best", "none", "branch.json", "step-000000010",
		"a/b", "..", ".hidden", "", "-x"
	};
	struct ckpt *c = folder();

	saves(c, 1, 10);
	for (size_t k = 0; k < RK_ARRAY_LEN(bad); k++)
		t_eq_int(ckpt_name(c, "step-000000010", bad[k]), RK_EINVAL);
	t_eq_int(ckpt_name(c, "step-000000011", "x"), RK_ENOENT);
	t_eq_int(ckpt_name(c, "../c/step-000000010", "x"), RK_ENOENT);
	write_file("c/mine", "not a link");
	log_set_level(LOG_L_ERROR + 1);
	t_eq_int(ckpt_name(c, "step-000000010", "mine"), RK_EEXIST);
	t_eq_int(ckpt_unname(c, "mine"), RK_ENOENT);
	ckpt_close(&c);
}

T_CASE(deleting_takes_the_names_too_but_never_the_latest)
{
	struct ckpt *c = folder();

	saves(c, 2, 10, 20);
	t_eq_int(ckpt_name(c, "step-000000010", "old"), RK_OK);
	t_eq_int(ckpt_delete(c, "step-000000020"), RK_ECONFLICT);
	t_eq_int(ckpt_delete(c, "step-000000030"), RK_ENOENT);
	t_eq_int(ckpt_delete(c, "old"), RK_ENOENT);
	t_eq_int(ckpt_delete(c, "step-000000010"), RK_OK);
	t_eq_int(count(c), 1);
	struct stat st;
	t_check(lstat("c/old", &st) != 0);
	t_eq_int(entries("c"), 2);      /* the other, and the lock */
	ckpt_close(&c);
}

T_CASE(retention_keeps_the_last_the_best_and_the_named)
{
	struct ckpt *c = folder();
	int deleted;

	free_info(save(c, 10, 0.5));
	free_info(save(c, 20, 0.9));
	free_info(save(c, 30, 0.8));
	free_info(save(c, 40, 0.1));
	free_info(save(c, 50, 0.2));
	free_info(save(c, 60, 0.3));
	t_eq_int(ckpt_name(c, "step-000000010", "mine"), RK_OK);
	t_eq_int(ckpt_retain(c, 2, 2, "acc", true, &deleted), RK_OK);
	t_eq_int(deleted, 1);
	holds(c, "10 20 30 50 60");
	t_eq_int(ckpt_retain(c, 1, 1, "acc", true, &deleted), RK_OK);
	holds(c, "10 20 60");
	t_eq_int(ckpt_unname(c, "mine"), RK_OK);
	t_eq_int(ckpt_retain(c, 0, 0, NULL, true, &deleted), RK_OK);
	holds(c, "60");
	ckpt_close(&c);
}

T_CASE(retention_keeps_where_branches_began_and_ended)
{
	struct ckpt *c = folder();
	int deleted, branch;

	saves(c, 4, 10, 20, 30, 40);
	t_eq_int(ckpt_branch_from(c, "step-000000020", &branch), RK_OK);
	/* The new branch has nothing yet: its origin is the latest. */
	t_eq_int(ckpt_retain(c, 1, 0, NULL, false, &deleted), RK_OK);
	holds(c, "20 40");
	selects(c, "latest", "step-000000020");
	saves(c, 3, 25, 30, 35);
	t_eq_int(ckpt_retain(c, 2, 0, NULL, false, &deleted), RK_OK);
	t_eq_int(deleted, 1);
	holds(c, "20 40 30 35");
	ckpt_close(&c);
}

T_CASE(opening_sweeps_litter_and_nothing_else)
{
	struct ckpt *c = folder();

	saves(c, 1, 10);
	ckpt_close(&c);
	t_check(mkdir("c/.tmp-step-000000020-0", 0755) == 0);
	write_file("c/.tmp-step-000000020-0/model.safetensors", "half");
	t_check(mkdir("c/.del-step-000000005-0", 0755) == 0);
	write_file("c/.rk-tmp-0", "{}");
	t_check(symlink("step-000000010", "c/.tmp-name-0") == 0);
	t_check(mkdir("c/bad-step-000000001", 0755) == 0);
	write_file("c/notes.txt", "mine");
	t_eq_int(ckpt_open(&c, "c", false), RK_OK);
	t_eq_int(entries("c"), 8);
	ckpt_close(&c);
	log_set_level(LOG_L_WARN);
	t_eq_int(ckpt_open(&c, "c", true), RK_OK);
	t_eq_int(entries("c"), 4);
	t_eq_int(count(c), 1);
	ckpt_close(&c);
}

T_CASE(what_the_api_shows_has_the_names_and_no_inner_state)
{
	struct ckpt *c = folder();
	struct ckpt_info i;

	saves(c, 1, 10);
	t_eq_int(ckpt_name(c, "step-000000010", "mine"), RK_OK);
	t_eq_int(ckpt_read(c, "mine", &i), RK_OK);
	json_t *v = ckpt_info_json(&i);
	char *s = rkj_text(v);
	t_has(s, "\"checkpoint\":\"step-000000010\"");
	t_has(s, "\"names\":[\"mine\"]");
	t_has(s, "\"digest\":\"");
	t_check(strstr(s, "\"state\"") == NULL);
	free(s);
	json_decref(v);
	ckpt_info_fini(&i);
	ckpt_close(&c);
}

T_MAIN
