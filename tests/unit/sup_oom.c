/* Trainers that the kernel kills for memory. */
#include "sup_fake.h"

static char count[500];

static void
put(const char *path, const char *text)
{
	char buf[900];

	snprintf(buf, sizeof(buf), "machine%s", path);
	for (char *p = buf; (p = strchr(p, '/')) != NULL; p++) {
		*p = '\0';
		(void)mkdir(buf, 0755);
		*p = '/';
	}
	FILE *f = fopen(buf, "w");
	t_check(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
}

#define GROUP "/sys/fs/cgroup/a.slice/rekindled.service"

/* A world on a machine whose group has these limits and has seen 3 kills. */
static void
begin(const char *max)
{
	char cwd[400];

	w_prepare();
	t_check(getcwd(cwd, sizeof(cwd)) != NULL);
	put("/proc/self/cgroup", "0::/a.slice/rekindled.service\n");
	put("/proc/self/mountinfo", "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 "
	    "none rw\n");
	put(GROUP "/memory.max", max);
	put(GROUP "/memory.events", "oom 0\noom_kill 3\n");
	snprintf(count, sizeof(count), "%s/machine" GROUP "/memory.events",
	    cwd);
	setenv("REKINDLE_TRAIN_OOM_COUNT", count, 1);
	W.c.machine = xasprintf("%s/machine", cwd);
	w_open();
}

static char *
submit(const char *script, int retries)
{
	json_t *tree = w_job(script);

	json_object_set_new(tree, "retries", json_integer(retries));
	return w_submit_tree(tree);
}

static int
times(const char *text, const char *word)
{
	int n = 0;

	for (; (text = strstr(text, word)) != NULL; text++)
		n++;
	return n;
}

#define ALL "the control group /a.slice/rekindled.service may have 512 MiB, " \
	"and the job's resources.memory says 256 MiB; raise MemoryMax= there"

T_CASE(a_trainer_that_the_kernel_killed_for_memory_is_said_to_be_that)
{
	struct sup_totals t;

	begin("536870912\n");
	char *id = submit("oom ok", 3);
	w_wait(id, JOB_SUCCEEDED);
	t_eq_str(w_attempts(id), "1:out_of_memory::1 2:succeeded::1 ");
	t_has(w_events(id), "out of memory: the kernel killed the trainer "
	    "after step 0: " ALL);
	t_has(w_events(id), "will try again at once (1 of 3)");
	sup_totals(W.sup, &t);
	t_eq_int(t.oom_kills, 1);
	t_eq_int(t.crashes, 1);
	free(id);
	w_close();
}

T_CASE(what_to_set_is_said_once_and_at_the_end)
{
	begin("536870912\n");
	char *id = submit("oom", 3);
	w_wait(id, JOB_FAILED);
	struct job_row r = w_row(id);
	t_eq_str(r.reason, "out_of_memory");
	t_has(r.message, ALL);
	t_has(r.message, "that was crash 4 in a row");
	t_eq_int(r.attempt, 4);
	t_eq_int(times(w_events(id), "raise MemoryMax="), 2);
	t_eq_int(times(w_events(id), "killed the trainer again, after step 0; "
	    "will try"), 2);
	store_job_fini(&r);
	free(id);
	w_close();
}

T_CASE(a_kill_that_the_kernel_does_not_count_is_a_crash)
{
	begin("536870912\n");
	char *id = submit("oom crash ok", 3);
	w_wait(id, JOB_SUCCEEDED);
	t_eq_str(w_attempts(id), "1:out_of_memory::1 2:crashed::1 "
	    "3:succeeded::1 ");
	free(id);
	w_close();
}

T_CASE(one_count_explains_one_death)
{
	struct sup_totals t;

	begin("536870912\n");
	/* Both begin before either is killed. */
	char *a = submit("run", 0), *b = submit("run", 0);
	w_wait(a, JOB_RUNNING);
	w_wait(b, JOB_RUNNING);
	put(GROUP "/memory.events", "oom 1\noom_kill 4\n");
	struct run *x = run_find(W.sup, a), *y = run_find(W.sup, b);
	kill(x->pid, SIGKILL);
	kill(y->pid, SIGKILL);
	w_wait(a, JOB_FAILED);
	w_wait(b, JOB_FAILED);
	sup_totals(W.sup, &t);
	t_eq_int(t.oom_kills, 1);
	free(a);
	free(b);
	w_close();
}

T_CASE(one_that_a_person_pauses_while_it_dies_is_paused)
{
	begin("max\n");
	char *id = submit("run", 0);
	w_wait(id, JOB_RUNNING);
	put(GROUP "/memory.events", "oom 1\noom_kill 4\n");
	kill(run_find(W.sup, id)->pid, SIGKILL);
	t_eq_int(sup_pause(W.sup, id, NULL, NULL), RK_OK);
	w_wait(id, JOB_PAUSED);
	t_has(w_attempts(id), "1:out_of_memory:");
	free(id);
	w_close();
}

T_CASE(without_a_limit_it_is_the_machines_memory)
{
	begin("max\n");
	char *id = submit("oom", 0);
	w_wait(id, JOB_FAILED);
	struct job_row r = w_row(id);
	t_has(r.message, "the machine's memory was used up");
	t_has(r.message, "256 MiB");
	store_job_fini(&r);
	free(id);
	w_close();
}

T_CASE(a_job_that_may_have_more_than_the_group_is_said_to_be_that)
{
	begin("67108864\n");
	char *id = submit("oom", 0);
	w_wait(id, JOB_FAILED);
	struct job_row r = w_row(id);
	t_has(r.message, "may have 64 MiB, less than the job's "
	    "resources.memory (256 MiB); raise MemoryMax= there, or lower "
	    "capacity.memory");
	store_job_fini(&r);
	free(id);
	w_close();
}

T_CASE(where_nobody_counts_it_is_a_crash)
{
	begin("max\n");
	put(GROUP "/memory.events", "oom 0\noom_kill 3\n");
	(void)!rename("machine/proc/self/cgroup", "machine/proc/self/gone");
	w_close();
	w_open();
	char *id = submit("oom", 0);
	w_wait(id, JOB_FAILED);
	struct job_row r = w_row(id);
	t_eq_str(r.reason, "crashed");
	store_job_fini(&r);
	free(id);
	w_close();
}

T_MAIN
