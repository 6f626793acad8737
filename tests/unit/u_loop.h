/* Running a loop in a test, for a while or until something is so; what never
 * comes fails the case. */
#ifndef U_LOOP_H
#define U_LOOP_H

#include "rekindle/loop.h"
#include "t.h"

#define U_NEVER_MS 20000

static inline void
u_stop(void *ctx)
{
	loop_stop(ctx);
}

static inline void
run_for(struct loop *l, int64_t ms)
{
	struct loop_timer *t = loop_timer_add(l, u_stop, l);

	loop_timer_at(t, mono_ms() + ms);
	loop_run(l);
	loop_timer_del(&t);
}

#define u_until(c, step)                                                  \
	do {                                                              \
		int64_t u_end = mono_ms() + U_NEVER_MS;                   \
		while (!(c)) {                                            \
			if (mono_ms() > u_end)                            \
				t_fail("it never came: %s", #c);          \
			step;                                             \
		}                                                         \
	} while (0)
#define run_until(l, c) u_until(c, run_for((l), 2))
/* What other threads do, while the loop stands still. */
#define wait_until(c)   u_until(c, usleep(500))

#endif
