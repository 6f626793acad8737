/*
 * Trainers that the kernel kills for memory.
 *
 * The kernel says so by a count and a SIGKILL, in this order.  The count is the
 * control group's, which the daemon shares with its trainers, so one more than
 * when the attempt began explains one such death; which of two processes it
 * counted nobody says, so each count explains one death only.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "impl.h"

void
oom_begin(struct run *run)
{
	run->oom_before = cgroup_oom_kills(run->s->cgroup);
}

void
oom_end(struct run *run)
{
	struct sup *s = run->s;
	int64_t told = RK_MAX(s->oom_told, run->oom_before);

	if (run->killed || run->done || run->failed || run->oom_before < 0 ||
	    !WIFSIGNALED(run->status) || WTERMSIG(run->status) != SIGKILL ||
	    cgroup_oom_kills(s->cgroup) <= told)
		return;
	s->oom_told = told + 1;
	s->totals.oom_kills++;
	run->out_of_memory = true;
}

static bool
see_outcome(void *ctx, const struct attempt_row *a)
{
	*(bool *)ctx = strcmp(a->outcome, OUT_OF_MEMORY) == 0;
	return false;
}

bool
oom_again(const struct run *run)
{
	bool yes = false;

	return run->at.n > 1 && store_attempts(run->s->store, run->id,
	    run->at.n - 2, 1, see_outcome, &yes) == RK_OK && yes;
}

/* What there was, and where it is set. */
static char *
what_to_set(const struct run *run)
{
	char have[RK_HUMAN], counted[RK_HUMAN], *where, *text, *says;
	uint64_t max = cgroup_memory(run->s->cgroup, &where);

	rk_human_bytes(have, max);
	rk_human_bytes(counted, run->memory);
	says = run->memory_said ? xasprintf("the job's resources.memory says "
	    "%s", counted) : xasprintf("the job, which has no resources.memory"
	    ", was counted with %s", counted);
	if (max > 0 && run->memory > max)
		text = xasprintf("the control group %s may have %s, less than "
		    "%s (%s); raise MemoryMax= there, or lower "
		    "capacity.memory, which lets jobs have more than there is",
		    where, have, run->memory_said ? "the job's resources.memory"
		    : "the job is counted with", counted);
	else if (max > 0)
		text = xasprintf("the control group %s may have %s, and %s; "
		    "raise MemoryMax= there, or resources.memory to what the "
		    "job needs, so that fewer jobs run beside it", where, have,
		    says);
	else
		text = xasprintf("the machine's memory was used up, and %s; "
		    "raise that to what the job needs, so that fewer jobs run "
		    "beside it, or lower capacity.memory", says);
	free(says);
	free(where);
	return text;
}

char *
oom_sentence(const struct run *run, bool whole)
{
	char step[RK_HUMAN], *set, *text;

	rk_group_digits(step, run->at.end_step);
	if (!whole)
		return xasprintf("the kernel killed the trainer again, after "
		    "step %s", step);
	set = what_to_set(run);
	text = xasprintf("the kernel killed the trainer after step %s: %s",
	    step, set);
	free(set);
	return text;
}
