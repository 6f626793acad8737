/*
 * What a watcher does about a job: by its state, by why it waits, and by what
 * the daemon is about to do.  Tables of words, so that a word which is new has
 * one place to go to.
 */
#include <string.h>

#include "cli.h"

const struct cli_verdict_def cli_verdicts[CLI_VERDICTS] = {
	[CLI_GOES_ON] = { false, CLI_OK },
	[CLI_UNTIL_LIMIT] = { false, CLI_MACHINE },
	[CLI_SUCCEEDED] = { true, CLI_OK },
	[CLI_ENDED_BADLY] = { true, CLI_JOB_FAILED },
	[CLI_NEEDS_PERSON] = { true, CLI_PERSON },
	[CLI_MACHINE_GONE] = { true, CLI_MACHINE },
};

/* The states that decide by themselves; others are on their way. */
static const struct {
	const char *word;
	enum cli_verdict verdict;
} states[] = {
	{ "succeeded", CLI_SUCCEEDED },
	{ "failed", CLI_ENDED_BADLY },
	{ "cancelled", CLI_ENDED_BADLY },
	{ "held", CLI_NEEDS_PERSON },
};

/*
 * Why a job waits that is wanted to run.  A reason that is not here is a newer
 * daemon's: a queued job has its turn some time, a paused one may wait for a
 * person, and a pipeline that ends is better than one that hangs.
 */
static const struct {
	const char *word;
	enum cli_verdict paused, queued;
} reasons[] = {
	{ "user", CLI_NEEDS_PERSON, CLI_GOES_ON },
	{ "data_changed", CLI_NEEDS_PERSON, CLI_NEEDS_PERSON },
	{ "checkpoints_missing", CLI_NEEDS_PERSON, CLI_NEEDS_PERSON },
	{ "checkpoints_unreadable", CLI_NEEDS_PERSON, CLI_NEEDS_PERSON },
	{ "arithmetic_changed", CLI_NEEDS_PERSON, CLI_NEEDS_PERSON },
	{ "ancestor_missing", CLI_NEEDS_PERSON, CLI_NEEDS_PERSON },
	{ "adopted", CLI_NEEDS_PERSON, CLI_NEEDS_PERSON },
	{ "too_large", CLI_NEEDS_PERSON, CLI_NEEDS_PERSON },
	{ "store_not_allowed", CLI_NEEDS_PERSON, CLI_NEEDS_PERSON },
	{ "path_not_allowed", CLI_NEEDS_PERSON, CLI_NEEDS_PERSON },
	{ "priority", CLI_GOES_ON, CLI_GOES_ON },
	{ "disk_full", CLI_GOES_ON, CLI_GOES_ON },
	{ "read_only", CLI_GOES_ON, CLI_GOES_ON },
	{ "uploading", CLI_GOES_ON, CLI_GOES_ON },
	{ "fetching", CLI_GOES_ON, CLI_GOES_ON },
	{ "interrupted", CLI_GOES_ON, CLI_GOES_ON },
	{ "crashed", CLI_GOES_ON, CLI_GOES_ON },
	{ "stalled", CLI_GOES_ON, CLI_GOES_ON },
	{ "out_of_memory", CLI_GOES_ON, CLI_GOES_ON },
	{ "shutdown", CLI_GOES_ON, CLI_GOES_ON },
	{ "drain", CLI_GOES_ON, CLI_GOES_ON },
	{ "preempted", CLI_GOES_ON, CLI_GOES_ON },
	{ "taken_over", CLI_GOES_ON, CLI_GOES_ON },
};

/* What it means for a job without a process that the daemon takes no work, by
 * why that is.  After a shutdown the next daemon comes, and soon. */
static const struct {
	const char *word;
	enum cli_verdict verdict;
} drains[] = {
	{ "drain", CLI_MACHINE_GONE },
	{ "preempted", CLI_MACHINE_GONE },
	{ "taken_over", CLI_MACHINE_GONE },
	{ "shutdown", CLI_UNTIL_LIMIT },
};

static enum cli_verdict
by_reason(const struct cli_seen *s, bool paused)
{
	if (paused && strcmp(s->desired, "run") != 0)
		return CLI_NEEDS_PERSON;
	for (size_t i = 0; i < RK_ARRAY_LEN(reasons); i++) {
		if (strcmp(reasons[i].word, s->reason) == 0)
			return paused ? reasons[i].paused : reasons[i].queued;
	}
	return paused ? CLI_NEEDS_PERSON : CLI_GOES_ON;
}

static enum cli_verdict
by_drain(const struct cli_seen *s)
{
	/* What a drained daemon has begun to send it may yet send. */
	if (strcmp(s->reason, "uploading") == 0)
		return CLI_UNTIL_LIMIT;
	for (size_t i = 0; i < RK_ARRAY_LEN(drains); i++) {
		if (strcmp(drains[i].word, s->draining) == 0)
			return drains[i].verdict;
	}
	return CLI_UNTIL_LIMIT;
}

enum cli_verdict
cli_judge_job(const struct cli_seen *s)
{
	bool paused = strcmp(s->state, "paused") == 0;
	enum cli_verdict v;

	for (size_t i = 0; i < RK_ARRAY_LEN(states); i++) {
		if (strcmp(states[i].word, s->state) == 0)
			return states[i].verdict;
	}
	if (!paused && strcmp(s->state, "queued") != 0)
		return CLI_GOES_ON;
	v = by_reason(s, paused);
	return v == CLI_GOES_ON && s->draining[0] != '\0' ? by_drain(s) : v;
}
