/* What is left to go on from, what was set aside, and what cannot be read. */
#include <sys/stat.h>
#include <unistd.h>

#include "rekindle/ckpt.h"
#include "t.h"
#include "u_ckpt.h"

static void
break_model(const char *dir)
{
	char *path = xasprintf("%s/" CKPT_MODEL_FILE, dir);
	FILE *f = fopen(path, "r+");

	t_check(f != NULL);
	fseek(f, -1, SEEK_END);
	int c = fgetc(f);
	fseek(f, -1, SEEK_END);
	fputc(c ^ 1, f);
	fclose(f);
	free(path);
}

static enum rk_err
load_latest(struct ckpt *c, struct ckpt_info *out)
{
	struct tensor_set *m, *o;
	enum rk_err rc = ckpt_load(c, "latest", NULL, true, out, &m, &o, NULL,
	    NULL, NULL);

	tensor_set_free(m);
	tensor_set_free(o);
	return rc;
}

/* "usable others damaged unreadable aside" */
static const char *
left_of(struct ckpt *c)
{
	static char text[64];
	struct ckpt_left l;

	t_eq_int(ckpt_left(c, &l, NULL), RK_OK);
	snprintf(text, sizeof(text), "%d %d %d %d %d", l.usable, l.others,
	    l.damaged, l.unreadable, l.aside);
	return text;
}

T_CASE(what_is_left_is_told_apart)
{
	struct ckpt *c = folder();
	struct ckpt_info i = { 0 };
	int branch;

	t_eq_str(left_of(c), "0 0 0 0 0");
	free_info(save(c, 100, 1));
	free_info(save(c, 200, 1));
	t_eq_str(left_of(c), "1 2 0 0 0");
	break_model("c/step-000000200");
	break_model("c/step-000000100");
	t_eq_int(load_latest(c, &i), RK_ENOENT);
	t_eq_str(left_of(c), "0 0 0 0 2");
	/* a person begins anew: what was before is another branch's */
	t_eq_int(ckpt_branch_from(c, "", &branch), RK_OK);
	t_eq_int(branch, 2);
	t_eq_str(left_of(c), "0 0 0 0 0");
	free_info(save(c, 50, 1));
	t_eq_str(left_of(c), "1 1 0 0 0");
	t_eq_int(mkdir("c/step-000000300-b2", 0755), 0);
	t_eq_str(left_of(c), "1 1 1 0 0");
	ckpt_close(&c);
}

T_CASE(one_that_was_set_aside_and_is_whole_is_put_back_when_no_other_is_left)
{
	struct ckpt *c = folder();
	struct ckpt_info i = { 0 };

	free_info(save(c, 100, 1));
	free_info(save(c, 200, 1));
	free_info(save(c, 300, 1));
	t_eq_int(ckpt_set_aside(c, "step-000000200"), RK_OK);
	t_eq_int(ckpt_set_aside(c, "step-000000300"), RK_OK);
	/* there is another */
	t_eq_int(ckpt_put_back(c, NULL, NULL), RK_ENOENT);
	break_model("c/step-000000100");
	t_eq_int(load_latest(c, &i), RK_ENOENT);
	/* the newest is no good */
	break_model("c/late-step-000000300");
	t_eq_str(left_of(c), "0 0 0 0 3");
	t_eq_int(ckpt_put_back(c, NULL, NULL), RK_OK);
	t_eq_int(load_latest(c, &i), RK_OK);
	t_eq_str(i.dir, "step-000000200");
	free_info(i);
	ckpt_close(&c);
}

static void
count_note(void *ctx, const char *sentence)
{
	t_has(sentence, "branch.json cannot be read");
	++*(int *)ctx;
}

T_CASE(a_damaged_branch_json_is_said_and_loses_no_checkpoint)
{
	struct ckpt *c = folder();
	struct ckpt_info i = { 0 };
	struct tensor_set *m, *o;
	int branch, told = 0;

	free_info(save(c, 100, 1));
	free_info(save(c, 200, 1));
	t_eq_int(ckpt_branch_from(c, "step-000000100", &branch), RK_OK);
	free_info(save(c, 150, 1));
	FILE *f = fopen("c/branch.json", "w");
	fputs("{\"branch\": ", f);
	fclose(f);
	t_eq_int(ckpt_load(c, "latest", NULL, true, &i, &m, &o, count_note,
	    &told, NULL), RK_OK);
	t_eq_str(i.dir, "step-000000150-b2");
	t_eq_int(told, 1);
	tensor_set_free(m);
	tensor_set_free(o);
	free_info(i);
	ckpt_close(&c);
}

T_CASE(what_cannot_be_read_is_neither_set_aside_nor_taken_for_nothing)
{
	struct ckpt *c = folder();
	struct ckpt_info i = { 0 };

	if (geteuid() != 0) {
		printf("skipped: only root can become another user\n");
		return;
	}
	free_info(save(c, 100, 1));
	free_info(save(c, 200, 1));
	t_eq_int(chmod("c/step-000000200/checkpoint.json", 0), 0);
	t_eq_int(chmod("c/step-000000100/" CKPT_MODEL_FILE, 0), 0);
	t_eq_int(chmod("c", 0777), 0);
	t_eq_int(chmod(".", 0777), 0);
	t_eq_int(seteuid(65534), 0);
	t_eq_int(load_latest(c, &i), RK_EIO);
	t_eq_str(left_of(c), "1 1 0 1 0");
	t_eq_int(seteuid(0), 0);
	/* the trouble over, both are there */
	t_eq_int(load_latest(c, &i), RK_OK);
	t_eq_str(i.dir, "step-000000200");
	free_info(i);
	ckpt_close(&c);
}

/* checkpoint.json, as a rekindle that comes later may write it. */
static void
make_newer(const char *dir)
{
	char *path = xasprintf("%s/checkpoint.json", dir);
	FILE *f = fopen(path, "w");

	t_check(f != NULL);
	fputs("{\"version\": 3, \"step\": {\"of\": 300}}\n", f);
	fclose(f);
	free(path);
}

T_CASE(what_a_newer_rekindle_wrote_is_neither_damaged_nor_gone_behind)
{
	struct ckpt *c = folder();
	struct ckpt_info i = { 0 };
	struct tensor_set *m, *o;
	struct rk_why why = {0};
	int branch;

	saves(c, 3, 100, 200, 300);
	make_newer("c/step-000000300");
	t_eq_int(ckpt_load(c, "latest", NULL, true, &i, &m, &o, NULL, NULL,
	    &why), RK_EIO);
	t_has(rk_why_first(&why), "step-000000300 cannot be read: "
	    "checkpoint.json: is of version 3, and this rekindle ("
	    REKINDLE_VERSION ") reads versions up to 2");
	rk_why_fini(&why);
	t_eq_str(left_of(c), "0 2 0 1 0");
	why = (struct rk_why){0};
	t_eq_int(ckpt_load(c, "step:300", NULL, true, &i, &m, &o, NULL, NULL,
	    &why), RK_ECORRUPT);
	t_has(rk_why_first(&why), "is of version 3");
	rk_why_fini(&why);
	/* A person may name another, and goes on from that. */
	t_eq_int(ckpt_load(c, "step:200", NULL, true, &i, &m, &o, NULL, NULL,
	    NULL), RK_OK);
	t_eq_int(ckpt_branch_from(c, i.dir, &branch), RK_OK);
	t_eq_int(branch, 2);
	ckpt_info_fini(&i);
	tensor_set_free(m);
	tensor_set_free(o);
	t_eq_int(load_latest(c, &i), RK_OK);
	t_eq_str(i.dir, "step-000000200");
	ckpt_info_fini(&i);
	t_eq_int(access("c/step-000000300", F_OK), 0);
	ckpt_close(&c);
}

T_CASE(an_older_version_than_the_first_is_damage)
{
	struct ckpt_info i;
	struct rk_why why = {0};

	t_eq_int(ckpt_info_parse("{\"version\": 0}", 14, NULL, &i, &why),
	    RK_ECORRUPT);
	rk_why_fini(&why);
}

T_MAIN
