/* Pins: what somebody is about to begin from stays. */
#include <unistd.h>

#include "rekindle/ckpt.h"
#include "t.h"
#include "u_ckpt.h"

#define FIRST "step-000000010"

/* Five checkpoints, and the first one pinned by "b". */
static struct ckpt *
pinned(void)
{
	struct ckpt *c = folder();

	for (int64_t step = 10; step <= 50; step += 10)
		free_info(save(c, step, 0.5));
	t_eq_int(ckpt_pin(c, FIRST, "b"), RK_OK);
	return c;
}

static int
retained(struct ckpt *c)
{
	int n;

	t_eq_int(ckpt_retain(c, 1, 0, NULL, true, &n), RK_OK);
	return n;
}

T_CASE(retention_and_deletion_leave_what_is_pinned_until_the_pin_is_gone)
{
	struct ckpt *c = pinned();

	t_eq_int(retained(c), 3);
	t_eq_int(access("c/" FIRST, F_OK), 0);
	t_eq_int(ckpt_delete(c, FIRST), RK_ECONFLICT);
	ckpt_unpin(c, "b");
	t_eq_int(retained(c), 1);
	t_check(access("c/" FIRST, F_OK) != 0);
	ckpt_unpin(c, "b");             /* fine without one */
	ckpt_close(&c);
}

T_CASE(a_pin_is_no_name_and_outlives_its_maker_and_the_next_writers_sweep)
{
	struct ckpt *c = pinned();
	struct ckpt_info i;

	ckpt_close(&c);
	c = folder();
	t_eq_int(ckpt_read(c, FIRST, &i), RK_OK);
	t_check(i.names == NULL || i.names[0] == NULL);
	ckpt_info_fini(&i);
	t_eq_int(ckpt_read(c, ".pin-b", &i), RK_ENOENT);
	t_eq_int(retained(c), 3);
	ckpt_close(&c);
}

T_CASE(a_pin_moves_with_the_last_word_of_its_maker_and_others_are_theirs)
{
	struct ckpt *c = pinned();

	t_eq_int(ckpt_pin(c, "step-000000020", "b"), RK_OK);
	t_eq_int(ckpt_pin(c, "step-000000030", "another"), RK_OK);
	t_eq_int(retained(c), 2);
	t_check(access("c/" FIRST, F_OK) != 0);
	ckpt_unpin(c, "b");
	t_eq_int(retained(c), 1);
	t_eq_int(access("c/step-000000030", F_OK), 0);
	ckpt_close(&c);
}

T_CASE(what_is_not_there_cannot_be_pinned_nor_by_who_has_no_name)
{
	struct ckpt *c = pinned();

	t_eq_int(ckpt_pin(c, "step-000000070", "x"), RK_ENOENT);
	t_eq_int(ckpt_pin(c, "../c", "x"), RK_ENOENT);
	t_eq_int(ckpt_pin(c, FIRST, ""), RK_EINVAL);
	t_eq_int(ckpt_pin(c, FIRST, "a/b"), RK_EINVAL);
	ckpt_close(&c);
}

T_MAIN
