/*
 * Checkpoints from elsewhere: admitted when they are whole and not before,
 * whatever is killed when; chosen and retained as those that were saved here.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "rekindle/ckpt.h"
#include "t.h"
#include "u_calls.h"
#include "u_ckpt.h"
#include "u_kill.h"

#define D10   "step-000000010"
#define MODEL "model.safetensors"
#define OPTIM "optimizer.safetensors"

/* The cache: a folder "far" with the checkpoint of step 10. */
static struct ckpt *
far_away(void)
{
	struct ckpt *c;

	t_eq_int(ckpt_open(&c, "far", true), RK_OK);
	free_info(save(c, 10, 0.5));
	return c;
}

static void
bring(const char *tmp, const char *name)
{
	char *from = xasprintf("far/" D10 "/%s", name);
	char *to = xasprintf("%s/%s", tmp, name);

	if (link(from, to) != 0)
		t_fail("cannot link %s", to);
	free(from);
	free(to);
}

/* A folder begun in c with all files of far's checkpoint, as hard links. */
static char *
begun(struct ckpt *c)
{
	char *tmp;

	t_eq_int(ckpt_admit_begin(c, D10, &tmp), RK_OK);
	bring(tmp, MODEL);
	bring(tmp, OPTIM);
	bring(tmp, "checkpoint.json");
	return tmp;
}

static void
admits(struct ckpt *c, char *tmp)
{
	struct rk_why why = {0};

	if (ckpt_admit(c, tmp, D10, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	t_check(access(tmp, F_OK) != 0);
	free(tmp);
}

/* Refused, and nothing is left when it is dropped. */
static void
refused(struct ckpt *c, char *tmp, const char *dir, enum rk_err rc,
    const char *part)
{
	struct rk_why why = {0};
	int before = count(c);

	log_set_level(LOG_L_ERROR);
	t_eq_int(ckpt_admit(c, tmp, dir, &why), rc);
	if (part != NULL)
		t_has(rk_why_first(&why), part);
	t_eq_int(count(c), before);
	ckpt_admit_drop(c, tmp);
	t_check(access(tmp, F_OK) != 0);
	ckpt_admit_drop(c, tmp);
	rk_why_fini(&why);
	free(tmp);
}

/* Replace tmp/name by a copy that is changed; the link stays untouched. */
static char *
own_copy(const char *tmp, const char *name, size_t *len)
{
	char *path = xasprintf("%s/%s", tmp, name), *text;

	t_eq_int(rk_read_file(AT_FDCWD, path, 1 << 20, &text, len), RK_OK);
	t_check(unlink(path) == 0);
	free(path);
	return text;
}

static void
put_copy(const char *tmp, const char *name, char *text, size_t len)
{
	char *path = xasprintf("%s/%s", tmp, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);

	t_check(fd >= 0 && rk_write_all(fd, text, len) == 0);
	close(fd);
	free(path);
	free(text);
}

static void
change_json(const char *tmp, void (*how)(json_t *))
{
	char hex[RK_SHA256_HEX], *text;
	json_t *o;
	size_t len;

	text = own_copy(tmp, "checkpoint.json", &len);
	t_eq_int(rkj_parse_json(text, len, &o, NULL), RK_OK);
	free(text);
	json_object_del(o, "check");
	how(o);
	text = rkj_text(o);
	rk_sha256_of(text, strlen(text), hex);
	free(text);
	json_object_set_new(o, "check", json_string(hex));
	text = rkj_text(o);
	json_decref(o);
	put_copy(tmp, "checkpoint.json", text, strlen(text));
}

/* --- admission ------------------------------------------------------------ */

T_CASE(what_is_admitted_is_loaded_as_if_it_were_saved_here)
{
	struct ckpt *f = far_away(), *c = folder();
	struct ckpt_info a, b;
	struct tensor_set *m, *o;
	struct stat here, there;

	char *tmp = begun(c);
	t_has(tmp, "c/.tmp-");
	t_eq_int(count(c), 0);
	admits(c, tmp);
	t_eq_int(ckpt_read(f, D10, &a), RK_OK);
	t_eq_int(ckpt_load(c, "latest", NULL, false, &b, &m, &o, NULL, NULL,
	    NULL), RK_OK);
	t_eq_str(a.digest, b.digest);
	struct tensor_set *want = tensors(10, 2);
	t_check(same_tensors(m, want) && same_tensors(o, want));
	/* the same file: neither copied nor written into */
	t_check(stat("far/" D10 "/" MODEL, &there) == 0 &&
	    stat("c/" D10 "/" MODEL, &here) == 0);
	t_check(here.st_ino == there.st_ino && here.st_nlink == 2);
	t_eq_int(ckpt_verify(f, &a, NULL), RK_OK);
	tensor_set_free(want);
	tensor_set_free(m);
	tensor_set_free(o);
	ckpt_info_fini(&a);
	ckpt_info_fini(&b);
	ckpt_close(&f);
	ckpt_close(&c);
}

T_CASE(what_is_damaged_or_missing_is_not_admitted)
{
	struct ckpt *f = far_away(), *c = folder();
	size_t len;
	char *tmp, *s;

	tmp = begun(c);
	s = own_copy(tmp, OPTIM, &len);
	s[len / 2] ^= 1;
	put_copy(tmp, OPTIM, s, len);
	refused(c, tmp, D10, RK_ECORRUPT, OPTIM " is not what was written");

	tmp = begun(c);
	s = own_copy(tmp, MODEL, &len);
	put_copy(tmp, MODEL, s, len - 1);
	refused(c, tmp, D10, RK_ECORRUPT, MODEL " has ");

	tmp = begun(c);
	free(own_copy(tmp, MODEL, &len));
	refused(c, tmp, D10, RK_ECORRUPT, MODEL " is missing");

	/* a link out of the folder is not followed, be it right or not */
	tmp = begun(c);
	free(own_copy(tmp, MODEL, &len));
	s = xasprintf("%s/" MODEL, tmp);
	t_check(symlink("../../far/" D10 "/" MODEL, s) == 0);
	free(s);
	refused(c, tmp, D10, RK_ECORRUPT, MODEL " cannot be opened");

	tmp = begun(c);
	s = own_copy(tmp, "checkpoint.json", &len);
	char *at = strstr(s, "\"step\": 10");
	t_check(at != NULL);
	at[8] = '2';
	put_copy(tmp, "checkpoint.json", s, len);
	refused(c, tmp, D10, RK_ECORRUPT, "its digest is another");

	tmp = begun(c);
	free(own_copy(tmp, "checkpoint.json", &len));
	refused(c, tmp, D10, RK_ECORRUPT, "checkpoint.json: ");

	refused(c, begun(c), "step-000000011", RK_ECORRUPT,
	    "it is of " D10);
	t_eq_int(entries("c"), 1);      /* the lock */
	ckpt_close(&f);
	ckpt_close(&c);
}

static void
name_above(json_t *o)
{
	json_object_set_new(json_array_get(json_object_get(o, "files"), 1),
	    "name", json_string("../x"));
}

static void
name_absolute(json_t *o)
{
	json_object_set_new(json_array_get(json_object_get(o, "files"), 1),
	    "name", json_string("/etc/passwd"));
}

static void
name_itself(json_t *o)
{
	json_object_set_new(json_array_get(json_object_get(o, "files"), 1),
	    "name", json_string("checkpoint.json"));
}

static void
digest_other(json_t *o)
{
	json_object_set_new(json_array_get(json_object_get(o, "files"), 0),
	    "xxh128", json_string("0123456789abcdef0123456789abcdef"));
}

T_CASE(a_hostile_checkpoint_json_is_refused)
{
	static void (*const hows[])(json_t *) = {
		name_above, name_absolute, name_itself
	};
	struct ckpt *f = far_away(), *c = folder();
	char *tmp;

	write_file("c/x", "not to be touched");
	for (size_t i = 0; i < RK_ARRAY_LEN(hows); i++) {
		tmp = begun(c);
		change_json(tmp, hows[i]);
		refused(c, tmp, D10, RK_ECORRUPT, "is no name for a file");
	}
	tmp = begun(c);
	change_json(tmp, digest_other);
	refused(c, tmp, D10, RK_ECORRUPT, "its XXH3 digest is another");
	t_check(access("c/x", F_OK) == 0);
	t_eq_int(ckpt_admit_begin(c, "../far/" D10, &tmp), RK_EINVAL);
	t_check(tmp == NULL);
	t_eq_int(ckpt_admit_begin(c, "latest", &tmp), RK_EINVAL);
	ckpt_close(&f);
	ckpt_close(&c);
}

T_CASE(what_is_not_named_does_not_come_along)
{
	struct ckpt *f = far_away(), *c = folder();
	char *tmp = begun(c);
	char *part = xasprintf("%s/" MODEL ".part", tmp);
	char *dir = xasprintf("%s/deep", tmp);

	write_file(part, "half");
	t_check(mkdir(dir, 0755) == 0);
	admits(c, tmp);
	t_eq_int(entries("c/" D10), 3);
	free(part);
	free(dir);
	ckpt_close(&f);
	ckpt_close(&c);
}

static void
other_seed(json_t *o)
{
	json_object_set_new(o, "seed", json_integer(99));
}

T_CASE(the_same_one_is_kept_another_is_refused_a_damaged_one_makes_room)
{
	struct ckpt *f = far_away(), *c = folder();
	struct stat before, after;
	char *tmp;

	free_info(save(c, 10, 0.5));
	t_check(system("cp far/" D10 "/checkpoint.json c/" D10) == 0);
	t_check(stat("c/" D10 "/" MODEL, &before) == 0);
	admits(c, begun(c));
	t_check(stat("c/" D10 "/" MODEL, &after) == 0);
	t_check(before.st_ino == after.st_ino);

	tmp = begun(c);
	change_json(tmp, other_seed);
	refused(c, tmp, D10, RK_EEXIST, "another checkpoint " D10 " is here");

	t_check(truncate("c/" D10 "/" MODEL, 3) == 0);
	log_set_level(LOG_L_ERROR);
	admits(c, begun(c));
	t_check(access("c/bad-" D10, F_OK) == 0);
	holds(c, "10");
	t_check(unlink("c/" D10 "/checkpoint.json") == 0);
	admits(c, begun(c));
	t_check(access("c/bad-" D10 "-2", F_OK) == 0);
	holds(c, "10");
	ckpt_close(&f);
	ckpt_close(&c);
}

T_CASE(a_writer_that_opens_sweeps_away_what_was_begun)
{
	struct ckpt *f = far_away(), *c, *w;

	t_eq_int(ckpt_open(&c, "c", false), RK_OK);
	char *tmp = begun(c);
	t_eq_int(ckpt_open(&w, "c", true), RK_OK);
	t_check(access(tmp, F_OK) != 0);
	t_eq_int(ckpt_admit(c, tmp, D10, NULL), RK_ENOENT);
	ckpt_admit_drop(c, tmp);
	t_aborts(ckpt_admit_drop(c, "c/" D10));
	t_aborts(ckpt_admit_drop(c, "far/.tmp-x"));
	t_aborts(ckpt_admit_drop(c, "c/.tmp-x/../" D10));
	free(tmp);
	ckpt_close(&w);
	ckpt_close(&c);
	ckpt_close(&f);
}

/* --- branches, and out of the way ----------------------------------------- */

T_CASE(a_branch_that_is_set_is_where_the_latest_is_looked_for)
{
	struct ckpt *c = folder();
	int branch;

	saves(c, 2, 10, 20);
	t_eq_int(ckpt_branch_set(c, 3, D10), RK_OK);
	selects(c, "latest", D10);
	free_info(save(c, 15, 0.5));
	selects(c, "latest", "step-000000015-b3");
	/* never back */
	t_eq_int(ckpt_branch_set(c, 2, "step-000000020"), RK_OK);
	t_eq_int(ckpt_branch_set(c, 3, "step-000000020"), RK_OK);
	t_eq_int(ckpt_branch_set(c, 0, ""), RK_EINVAL);
	t_eq_int(ckpt_branch_set(c, 1 << 30, ""), RK_EINVAL);
	ckpt_close(&c);
	c = folder();
	selects(c, "latest", "step-000000015-b3");
	t_eq_int(ckpt_branch_from(c, "step-000000015-b3", &branch), RK_OK);
	t_eq_int(branch, 3);
	/* a beginning that is of no older branch is not known; later it is */
	t_eq_int(ckpt_branch_set(c, 5, "step-000000030-b6"), RK_OK);
	selects_none(c, "latest", "this branch has no checkpoint");
	t_eq_int(ckpt_branch_set(c, 5, "../../x"), RK_OK);
	selects_none(c, "latest", "this branch has no checkpoint");
	t_eq_int(ckpt_branch_set(c, 5, "step-000000015-b3"), RK_OK);
	selects(c, "latest", "step-000000015-b3");
	ckpt_close(&c);
}

T_CASE(one_set_aside_is_not_seen_any_more_and_not_deleted)
{
	struct ckpt *c = folder();

	saves(c, 3, 10, 20, 30);
	t_eq_int(ckpt_name(c, "step-000000030", "mine"), RK_OK);
	t_eq_int(ckpt_name(c, D10, "first"), RK_OK);
	t_eq_int(ckpt_set_aside(c, "step-000000030"), RK_OK);
	holds(c, "10 20");
	selects(c, "latest", "step-000000020");
	selects_none(c, "mine", "there is no checkpoint");
	selects(c, "first", D10);
	t_check(access("c/late-step-000000030/" MODEL, F_OK) == 0);
	/* the same step again, and late again: none is lost */
	saves(c, 1, 30);
	selects_none(c, "mine", "there is no checkpoint");
	t_eq_int(ckpt_set_aside(c, "step-000000030"), RK_OK);
	t_check(access("c/late-step-000000030-2/" MODEL, F_OK) == 0);
	t_eq_int(ckpt_set_aside(c, "step-000000030"), RK_ENOENT);
	t_eq_int(ckpt_set_aside(c, "first"), RK_ENOENT);
	t_eq_int(ckpt_set_aside(c, "../far"), RK_ENOENT);
	/* one that cannot be read goes as well */
	log_set_level(LOG_L_ERROR);
	write_file("c/step-000000020/checkpoint.json", "{");
	t_eq_int(ckpt_set_aside(c, "step-000000020"), RK_OK);
	holds(c, "10");
	ckpt_close(&c);
	c = folder();
	t_check(access("c/late-step-000000030-2/" MODEL, F_OK) == 0);
	ckpt_close(&c);
}

/* --- infos ---------------------------------------------------------------- */

T_CASE(an_info_is_what_its_text_says_and_of_the_folder_that_is_meant)
{
	struct ckpt *c = folder();
	struct ckpt_info i, want;
	struct rk_why why = {0};
	char *s;
	size_t n;

	saves(c, 1, 10);
	t_eq_int(ckpt_read(c, D10, &want), RK_OK);
	t_eq_int(rk_read_file(AT_FDCWD, "c/" D10 "/checkpoint.json", 1 << 20,
	    &s, &n), RK_OK);
	for (int k = 0; k < 2; k++) {
		t_eq_int(ckpt_info_parse(s, n, k ? D10 : NULL, &i, &why),
		    RK_OK);
		t_eq_str(i.dir, D10);
		t_eq_str(i.digest, want.digest);
		t_check(i.nfiles == 2 && i.bytes == want.bytes);
		ckpt_info_fini(&i);
	}
	t_eq_int(ckpt_info_parse(s, n, "step-000000010-b2", &i, &why),
	    RK_ECORRUPT);
	t_has(rk_why_first(&why), "it is of " D10);
	t_eq_int(ckpt_info_parse(s, n - 3, D10, &i, NULL), RK_ECORRUPT);
	ckpt_info_fini(&i);
	ckpt_info_fini(&want);
	rk_why_fini(&why);
	free(s);
	ckpt_close(&c);
}

/* A run from a checkpoint or from nothing, of a few steps. */
static void
run_once(struct ckpt *c, uint64_t seed, uint32_t turn)
{
	struct ckpt_info *v;
	size_t n;
	int branch;
	uint32_t die = rk_draw_u32(seed, turn, 0, 0);
	char parent[CKPT_DIR_MAX] = "";
	int64_t step = 0;

	t_eq_int(ckpt_list(c, &v, &n), RK_OK);
	if (n > 0) {
		snprintf(parent, sizeof(parent), "%s", v[die % n].dir);
		step = v[die % n].step;
	}
	t_eq_int(ckpt_branch_from(c, parent, &branch), RK_OK);
	for (uint32_t k = 0; k < 1 + die / 256 % 3; k++) {
		struct ckpt_info i = info_at(step += 10);
		struct tensor_set *m = tensors(1, 1);
		snprintf(i.parent, sizeof(i.parent), "%s", parent);
		if (die >> 16 & 1)
			json_object_set_new(i.metrics, "acc", json_real(
			    rk_draw_u32(seed, turn, 1, k) % 5));
		t_eq_int(ckpt_save(c, &i, m, NULL, die % 7 == 0 ? "mine" :
		    NULL), RK_OK);
		tensor_set_free(m);
		ckpt_info_fini(&i);
	}
	ckpt_list_free(v, n);
}

/* As a bucket may list them: in no order of ours. */
static void
shuffle(struct ckpt_info *v, size_t n, uint64_t seed)
{
	for (size_t i = n; i > 1; i--) {
		size_t k = rk_draw_u32(seed, 9, 9, i) % i;
		struct ckpt_info t = v[i - 1];
		v[i - 1] = v[k];
		v[k] = t;
	}
}

static void
selects_the_same(struct ckpt *c, const struct ckpt_info *v, size_t n,
    const char *selector, bool mode_max)
{
	struct ckpt_info i;
	struct rk_why a = {0}, b = {0};
	enum rk_err rc = ckpt_select(c, selector, "acc", mode_max, &i, &a);
	int at = ckpt_info_select(v, n, selector, "acc", mode_max, &b);

	t_check((rc == RK_OK) == (at >= 0));
	if (rc == RK_OK)
		t_eq_str(v[at].dir, i.dir);
	else
		t_eq_str(rk_why_first(&b), rk_why_first(&a));
	ckpt_info_fini(&i);
	rk_why_fini(&a);
	rk_why_fini(&b);
}

static void
keeps_the_same(struct ckpt *c, const struct ckpt_info *v, size_t n,
    uint64_t seed)
{
	const int64_t last = 1 + (int64_t)(seed % 3), best = (int64_t)seed % 2;
	bool *keep = xcalloc(n + 1, sizeof(*keep));
	struct ckpt_info i;
	int deleted, kept = 0;

	memset(keep, seed % 2, n);
	ckpt_info_keep(v, n, last, best, "acc", true, keep);
	t_eq_int(ckpt_retain(c, last, best, "acc", true, &deleted), RK_OK);
	for (size_t k = 0; k < n; k++) {
		t_eq_int(ckpt_read(c, v[k].dir, &i), keep[k] ? RK_OK :
		    RK_ENOENT);
		kept += keep[k];
		ckpt_info_fini(&i);
	}
	t_eq_int(kept + deleted, n);
	free(keep);
}

T_CASE(infos_are_chosen_and_kept_as_folders_are)
{
	static const char *const selectors[] = {
		"latest", "best", "step:10", "step:30", "step:x", "mine",
		D10, "step-000000020-b2", "nothing"
	};
	struct ckpt_info *v;
	size_t n;

	log_set_level(LOG_L_ERROR);
	for (uint64_t seed = 0; seed < 30; seed++) {
		char *path = xasprintf("s%d", (int)seed);
		struct ckpt *c;
		t_eq_int(ckpt_open(&c, path, true), RK_OK);
		for (uint32_t k = 0; k < seed % 7; k++)
			run_once(c, seed, k);
		t_eq_int(ckpt_list(c, &v, &n), RK_OK);
		shuffle(v, n, seed);
		for (size_t k = 0; k < RK_ARRAY_LEN(selectors); k++) {
			selects_the_same(c, v, n, selectors[k], true);
			selects_the_same(c, v, n, selectors[k], false);
		}
		keeps_the_same(c, v, n, seed);
		ckpt_list_free(v, n);
		ckpt_close(&c);
		free(path);
	}
}

/* --- killed --------------------------------------------------------------- */

static int report_fd = -1;

static void
child(void)
{
	struct ckpt *c;

	if (ckpt_open(&c, "c", true) != RK_OK)
		_exit(3);
	char *tmp = begun(c);
	if (ckpt_admit(c, tmp, D10, NULL) != RK_OK ||
	    write(report_fd, "a", 1) != 1)
		_exit(4);
	free(tmp);
	if (ckpt_branch_set(c, 2, D10) != RK_OK ||
	    write(report_fd, "b", 1) != 1)
		_exit(5);
	if (ckpt_set_aside(c, "step-000000005") != RK_OK ||
	    write(report_fd, "s", 1) != 1)
		_exit(6);
	ckpt_close(&c);
}

/* The folder as a killed one leaves it; said: what it has promised. */
static void
check_scene(const char *said)
{
	struct ckpt *c;
	struct ckpt_info *v, i;
	size_t n;
	bool late = false;

	t_eq_int(ckpt_open(&c, "c", true), RK_OK);
	t_eq_int(ckpt_list(c, &v, &n), RK_OK);
	for (size_t k = 0; k < n; k++)
		t_eq_int(ckpt_verify(c, &v[k], NULL), RK_OK);
	ckpt_list_free(v, n);
	if (strchr(said, 'a') != NULL) {
		t_eq_int(ckpt_read(c, D10, &i), RK_OK);
		ckpt_info_fini(&i);
	}
	if (strchr(said, 'b') != NULL) {
		free_info(save(c, 99, 0.1));
		selects(c, "latest", "step-000000099-b2");
	}
	/* the older one is in one of two places */
	late = access("c/late-step-000000005/checkpoint.json", F_OK) == 0;
	t_check(late != (access("c/step-000000005/checkpoint.json", F_OK) ==
	    0));
	t_check(late || strchr(said, 's') == NULL);
	DIR *d = opendir("c");
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		t_check(strncmp(e->d_name, ".tmp-", 5) != 0 &&
		    strncmp(e->d_name, ".rk-", 4) != 0);
	closedir(d);
	ckpt_close(&c);
}

/* With a damaged checkpoint in the way in every other round. */
static bool
crash_at(long n)
{
	char said[8] = "";
	int p[2];

	t_check(system("rm -rf c") == 0);
	struct ckpt *c = folder();
	free_info(save(c, 5, 0.5));
	if (n / 2 % 2 == 0) {
		free_info(save(c, 10, 0.5));
		t_check(truncate("c/" D10 "/" MODEL, 3) == 0);
		write_file("c/" D10 "/checkpoint.json", "{");
	}
	ckpt_close(&c);
	t_check(pipe(p) == 0);
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		report_fd = p[1];
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		child();
		_exit(0);
	}
	close(p[1]);
	bool killed = kill_at(pid, n);
	t_check(read(p[0], said, sizeof(said) - 1) >= 0);
	close(p[0]);
	check_scene(said);
	t_check(killed || strcmp(said, "abs") == 0);
	return killed;
}

T_CASE(killed_at_any_system_call_an_admission_is_whole_or_nothing)
{
	const char *env = getenv("RK_KILL_STRIDE");
	long stride = env != NULL ? atol(env) : 7, n = 1, last = 0;
	struct ckpt_info i;

	log_set_level(LOG_L_ERROR + 1);
	need_ptrace();
	struct ckpt *f = far_away();
	for (; crash_at(n); n += stride)
		last = n;
	t_check(last > 100);
	/* the files that it shares with the cache are what they were */
	t_eq_int(ckpt_read(f, D10, &i), RK_OK);
	t_eq_int(ckpt_verify(f, &i, NULL), RK_OK);
	ckpt_info_fini(&i);
	ckpt_close(&f);
}

/* Each thing is on the disk before the next relies on it. */
T_CASE(an_admission_is_synced_before_it_can_be_seen)
{
	struct ckpt *f = far_away(), *c = folder();
	char *tmp = begun(c);

	calls_begin("calls");
	t_eq_int(ckpt_admit(c, tmp, D10, NULL), RK_OK);
	holds(c, "10");
	/* model, optimizer, checkpoint.json, folder: sync; rename; parent:
	 * sync. */
	calls_are("ssssrs");
	free(tmp);
	ckpt_close(&f);
	ckpt_close(&c);
}

T_MAIN
