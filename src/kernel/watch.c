/* What the team's lanes tell: see kernel_watch.h; team.c fills them. */
#include <stdlib.h>
#include <string.h>

#include "rekindle/kernel_watch.h"

struct kernel_watch *
kernel_watch_new(size_t spans)
{
	struct kernel_watch *w = xcalloc(1, sizeof(*w));
	const size_t n = (size_t)kernel_threads();

	w->nlanes = (int)n;
	w->lane = aligned_alloc(_Alignof(struct kernel_lane),
	    n * sizeof(*w->lane));
	must(w->lane != NULL);
	memset(w->lane, 0, n * sizeof(*w->lane));
	for (size_t i = 0; spans > 0 && i < n; i++) {
		w->lane[i].spans = xcalloc(spans, sizeof(*w->lane[i].spans));
		w->lane[i].most = spans;
	}
	return w;
}

void
kernel_watch_free(struct kernel_watch *w)
{
	if (w == NULL)
		return;
	for (int i = 0; i < w->nlanes; i++)
		free(w->lane[i].spans);
	free(w->lane);
	free(w);
}

struct kernel_sums
kernel_watch_sums(const struct kernel_watch *w)
{
	struct kernel_sums s = { .owner_waited_ns = w->lane[0].waited_ns };

	for (int i = 1; i < w->nlanes; i++)
		s.workers_busy_ns += w->lane[i].busy_ns;
	return s;
}

int64_t
kernel_watch_waiting(const struct kernel_watch *w,
    const struct kernel_sums *before, int64_t wall_ns)
{
	const struct kernel_sums now = kernel_watch_sums(w);

	return (w->nlanes - 1) * wall_ns -
	    (now.workers_busy_ns - before->workers_busy_ns) +
	    now.owner_waited_ns - before->owner_waited_ns;
}
