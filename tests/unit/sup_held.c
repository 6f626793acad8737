/* A supervisor that is held: another daemon may still have the jobs, or they
 * come from a machine that is gone. */
#include "sup_fake.h"

static bool
see_owner(void *ctx, const struct attempt_row *a)
{
	sb_addf(ctx, "%lld:%s:%lld:%s ", (long long)a->n, a->instance,
	    (long long)a->epoch, a->message);
	return true;
}

static char *
attempt_texts(const char *id)
{
	struct strbuf b = { 0 };

	t_eq_int(store_attempts(W.store, id, 0, 100, see_owner, &b), RK_OK);
	return sb_detach(&b);
}

T_CASE(a_held_supervisor_starts_and_settles_nothing_until_it_goes)
{
	w_prepare();
	W.c.instance = "gpu-a";
	w_open();
	sup_go(W.sup, 3);
	char *a = w_submit("run run ok");
	w_wait_step(a, 3);
	w_close();
	W.c.held = true;
	w_open();
	t_check(sup_held(W.sup));
	char *b = w_submit("ok");
	w_spin(80);
	t_eq_int(w_state(a), JOB_RUNNING);
	t_eq_int(w_state(b), JOB_QUEUED);
	sup_go(W.sup, 4);
	t_check(!sup_held(W.sup));
	w_says(a, "interrupted", "the daemon ended while it ran");
	w_wait(b, JOB_SUCCEEDED);
	w_wait_attempt(a, 2);
	w_wait(a, JOB_RUNNING);
	w_close();
	w_open();
	sup_go(W.sup, 5);
	w_says(a, "interrupted", "the daemon ended while it ran");
	w_wait(a, JOB_SUCCEEDED);
	char *owners = attempt_texts(a);
	t_has(owners, "1:gpu-a:3:the daemon ended ");
	t_has(owners, "2:gpu-a:4:the daemon ended ");
	t_has(owners, "3:gpu-a:5:finished at step ");
	free(owners);
	free(a);
	free(b);
	w_close();
}

/* A row as it comes from a machine that is gone. */
static void
import_running(const char *id, int64_t epoch, enum job_desired desired)
{
	struct job_row r = w_row(id);
	struct attempt_row a = { .n = 1, .started_ms = now_ms(),
		.hello_ms = now_ms(), .pid = getpid(), .from = (char[]){ "" },
		.outcome = (char[]){ "" }, .message = (char[]){ "" },
		.instance = (char[]){ "gpu-a" }, .epoch = epoch };

	r.state = JOB_RUNNING;
	r.desired = desired;
	r.attempt = 1;
	t_eq_int(store_job_step(W.store, &r, &a, NULL), RK_OK);
	store_job_fini(&r);
}

T_CASE(jobs_of_a_machine_that_is_gone_say_so_and_go_on)
{
	w_prepare();
	W.c.instance = "gpu-a";
	W.c.held = true;
	w_open();
	char *a = w_submit("ok"), *b = w_submit("ok"), *c = w_submit("ok");
	import_running(a, 7, JOB_RUN);
	import_running(b, 7, JOB_PAUSE);
	import_running(c, 7, JOB_CANCEL);
	sup_go(W.sup, 8);
	w_says(a, "interrupted", "the machine that ran it is gone; the job "
	    "goes on here from its newest checkpoint");
	t_eq_int(w_state(b), JOB_PAUSED);
	t_eq_int(w_state(c), JOB_CANCELLED);
	w_wait(a, JOB_SUCCEEDED);
	char *owners = attempt_texts(a);
	t_has(owners, "1:gpu-a:7:its machine is gone ");
	free(owners);
	free(a);
	free(b);
	free(c);
	w_close();
}

T_CASE(one_that_is_told_to_leave_while_held_leaves_its_rows_alone)
{
	w_prepare();
	W.c.held = true;
	w_open();
	char *a = w_submit("ok");
	import_running(a, 7, JOB_RUN);
	sup_drain(W.sup, mono_ms() + 1000, "shutdown", NULL, NULL);
	sup_go(W.sup, 8);
	w_spin(50);
	t_eq_int(w_state(a), JOB_RUNNING);
	free(a);
	w_close();
}

T_MAIN
