/* Who gets the jobs: claims, races, being lost, going on alone. */
#include "mirror_world.h"

T_CASE(the_first_daemon_gets_epoch_1_and_begins)
{
	struct node a;

	w_world();
	w_start(&a, "a");
	t_eq_int(mirror_state(a.mirror), MIRROR_CLAIMING);
	t_check(sup_held(a.sup));
	w_wait_mirror(&a, MIRROR_OWNER);
	t_check(!sup_held(a.sup));
	t_eq_int(a.mirror->epoch, 1);
	t_check(w_there("instances/gpu-a/epochs/0000000001.json"));
	t_check(w_there("instances/gpu-a/base/0000000001.jsonl"));
	json_t *j = mirror_json(a.mirror);
	t_eq_str(json_string_value(json_object_get(j, "state")), "owner");
	t_eq_int(json_integer_value(json_object_get(j, "epoch")), 1);
	json_decref(j);
	w_world_end();
}

static struct node many[8];
static bool
settled(struct world *w)
{
	int owners = 0, lost = 0;

	(void)w;
	for (int i = 0; i < 8; i++) {
		owners += many[i].mirror->state == MIRROR_OWNER;
		lost += many[i].lost;
	}
	return owners == 1 && lost == 7;
}

T_CASE(of_many_that_start_at_once_the_one_with_the_highest_epoch_has_the_jobs)
{
	char name[8];
	int64_t top = 0;

	w_world();
	for (int i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		w_start(&many[i], name);
	}
	w_until(settled, "one owner and seven that lost");
	for (int i = 0; i < 8; i++) {
		top = RK_MAX(top, many[i].mirror->epoch);
		for (int k = 0; k < i; k++)
			t_check(many[i].mirror->epoch != many[k].mirror->epoch);
	}
	for (int i = 0; i < 8; i++) {
		t_eq_int(many[i].mirror->state == MIRROR_OWNER,
		    many[i].mirror->epoch == top);
		w_kill(&many[i]);
	}
	w_world_end();
}

T_CASE(who_sees_a_higher_epoch_stops_its_trainers_and_says_who_has_the_jobs)
{
	struct node a, b;

	w_world();
	w_own(&a, "a");
	char *id = w_submit("run");
	w_wait_step(id, 5);
	w_wait_written(&a);
	w_start(&b, "b");
	w_wait_lost(&a);
	t_has(a.who, "epoch 2");
	t_has(a.who, "gpu-a");
	w_wait(id, JOB_QUEUED);
	t_eq_str(w_reason(id), "taken_over");
	t_check(sup_draining(a.sup));
	json_t *j = mirror_json(a.mirror);
	t_eq_str(json_string_value(json_object_get(j, "state")), "lost");
	t_has(json_string_value(json_object_get(j, "error")), "epoch 2");
	json_decref(j);
	w_wait_mirror(&b, MIRROR_OWNER);
	w_use(&b);
	w_wait(id, JOB_RUNNING);
	free(id);
	w_world_end();
}

T_CASE(a_directory_that_starts_again_goes_on_with_what_never_got_to_the_bucket)
{
	struct node a;

	w_world();
	w_own(&a, "a");
	char *id = w_submit("run");     /* acknowledged; no round of the loop */
	w_kill(&a);
	w_own(&a, "a");
	t_eq_int(a.mirror->epoch, 2);
	t_check(!a.mirror->foreign);
	w_wait(id, JOB_RUNNING);
	free(id);
	w_world_end();
}

/* The bucket is a folder: a file in its place answers nobody. */
static void
cut_off(bool cut)
{
	char away[640];

	snprintf(away, sizeof(away), "%s.away", w_bucket);
	if (cut) {
		if (access(w_bucket, F_OK) == 0)
			t_eq_int(rename(w_bucket, away), 0);
		FILE *f = fopen(w_bucket, "w");
		t_check(f != NULL);
		fclose(f);
	} else {
		t_eq_int(unlink(w_bucket), 0);
		(void)!rename(away, w_bucket);
	}
}

T_CASE(an_empty_directory_waits_for_the_bucket_and_says_so)
{
	struct node a;

	w_world();
	w_start_wait_ms = 50;
	cut_off(true);
	w_start(&a, "a");
	w_wait_error(&a, "cannot");
	w_spin(150);
	t_eq_int(mirror_state(a.mirror), MIRROR_CLAIMING);
	t_check(sup_held(a.sup));
	json_t *j = mirror_json(a.mirror);
	t_has(json_string_value(json_object_get(j, "error")), "cannot");
	json_decref(j);
	cut_off(false);
	w_wait_mirror(&a, MIRROR_OWNER);
	t_check(a.mirror->error == NULL);
	w_world_end();
}

T_CASE(a_directory_with_jobs_goes_on_alone_and_claims_when_the_bucket_is_back)
{
	struct node a;

	w_world();
	w_start_wait_ms = 50;
	w_own(&a, "a");
	char *id = w_submit("run");
	w_wait_step(id, 3);
	w_kill(&a);
	cut_off(true);
	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_ALONE);
	w_use(&a);
	w_wait(id, JOB_RUNNING);
	char *other = w_submit_until("run", JOB_RUNNING);
	cut_off(false);
	w_wait_mirror(&a, MIRROR_OWNER);
	t_eq_int(w_state(id), JOB_RUNNING);
	w_save(other);
	w_wait_shipped(&a, other, 1);
	free(id);
	free(other);
	w_world_end();
}

T_CASE(who_went_on_alone_and_was_replaced_is_lost_and_leaves_the_owner_alone)
{
	struct node a, b;

	w_world();
	w_start_wait_ms = 50;
	w_own(&a, "a");
	char *id = w_submit("run");
	w_wait_step(id, 3);
	w_wait_written(&a);
	w_kill(&a);
	cut_off(true);
	w_start(&a, "a");
	w_wait_mirror(&a, MIRROR_ALONE);
	cut_off(false);
	/* b is quicker: a tries again a second later at most */
	w_start(&b, "b");
	w_wait_lost(&a);
	w_wait_mirror(&b, MIRROR_OWNER);
	w_spin(200);
	t_eq_int(mirror_state(b.mirror), MIRROR_OWNER);
	t_eq_int(b.mirror->epoch, 2);
	free(id);
	w_world_end();
}

T_CASE(a_name_that_is_none_is_refused_with_its_path)
{
	struct mirror_config c = { .prefix = "file:///tmp/x", .instance =
	    "../b" };
	struct rk_why why = { 0 };
	struct mirror *m;
	struct node a;

	w_world();
	w_start(&a, "a");
	t_eq_int(mirror_open(&m, a.loop, a.remote, a.store, a.sup, a.ship, &c,
	    w_on_lost, &a, &why), RK_EINVAL);
	t_has(rk_why_first(&why), "mirror.instance");
	rk_why_fini(&why);
	w_world_end();
}

T_CASE(epochs_that_are_used_up_are_said_and_never_go_round)
{
	struct node a;

	w_world();
	w_put("epochs/9999999999.json", "{}");
	w_put("epochs/0000000002.json.tmp", "{}");
	w_put("epochs/../epochs/x.json", "{}");
	w_start(&a, "a");
	w_wait_error(&a, "no epoch left");
	w_world_end();
}

T_MAIN
