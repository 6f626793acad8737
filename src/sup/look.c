/* What can be seen of the supervisor from outside. */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

/* Of a job of which nobody has said how much it takes. */
#define MEMORY_UNSAID ((uint64_t)1 << 30)

void
sup_listen(struct sup *s, sup_listen_fn *fn, void *ctx)
{
	must_be(s, SUP_TAG);
	must(fn != NULL && s->nlisteners < SUP_LISTENERS);
	s->listeners[s->nlisteners].fn = fn;
	s->listeners[s->nlisteners++].ctx = ctx;
}

void
sup_unlisten(struct sup *s, sup_listen_fn *fn, const void *ctx)
{
	must_be(s, SUP_TAG);
	for (int i = 0; i < s->nlisteners; i++) {
		if (s->listeners[i].fn != fn || s->listeners[i].ctx != ctx)
			continue;
		s->listeners[i] = s->listeners[--s->nlisteners];
		return;
	}
}

const json_t *
sup_progress(const struct sup *s, const char *id)
{
	const struct run *run = run_find(s, id);

	return run != NULL && run->hello ? run->progress : NULL;
}

int64_t
sup_generation(const struct sup *s, const char *id)
{
	unsigned h = 0;

	for (const char *c = id; *c != '\0'; c++)
		h = h * 31 + (unsigned char)*c;
	return s->generation[h % SUP_GENERATIONS];
}

void
sup_stats(const struct sup *s, int *running, int64_t *queued,
    int64_t *threads_used, uint64_t *memory_used)
{
	int64_t n[JOB_STATES] = { 0 };

	*running = 0;
	*threads_used = 0;
	*memory_used = 0;
	for (const struct run *r = s->runs; r != NULL; r = r->next) {
		/* One whose end cannot be written yet has no process. */
		*running += !r->settling;
		*threads_used += r->threads;
		*memory_used += r->memory;
	}
	(void)!store_counts(s->store, n);
	*queued = n[JOB_QUEUED];
}

int64_t
sup_threads(const struct sup *s, const struct job_row *r)
{
	return r->threads > 0 ? r->threads : s->c.threads;
}

uint64_t
sup_memory(const struct sup *s, const struct job_row *r)
{
	return r->memory > 0 ? r->memory : RK_MIN(MEMORY_UNSAID, s->c.memory);
}

const char *
sup_job_dir(struct sup *s, const char *id)
{
	free(s->dir_buf);
	s->dir_buf = xasprintf("%s/%s", s->jobs_dir, id);
	return s->dir_buf;
}

int64_t
sup_checkpoints_missing(const struct sup *s)
{
	return (int64_t)s->known_waiting;
}

void
sup_totals(const struct sup *s, struct sup_totals *out)
{
	*out = s->totals;
}
