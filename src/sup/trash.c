/*
 * Folders of deleted jobs may hold gigabytes; a thread removes each, so that
 * the loop need not wait.  It knows a descriptor and a name and nothing else.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"

#define TRASH_THREADS 4         /* more at a time are removed by the loop */

struct trash {
	struct trash *next;
	pthread_t thread;
	int dirfd;
	char *name;
	atomic_bool done;
};

static void *
remove_it(void *arg)
{
	struct trash *t = arg;

	(void)!rk_remove_tree(t->dirfd, t->name);
	atomic_store(&t->done, true);
	return NULL;
}

/* Join those that are done, or all; how many are left. */
static int
gather(struct sup *s, bool all)
{
	struct trash **p = &s->trash, *t;
	int left = 0;

	while ((t = *p) != NULL) {
		if (!all && !atomic_load(&t->done)) {
			left++;
			p = &t->next;
			continue;
		}
		*p = t->next;
		pthread_join(t->thread, NULL);
		free(t->name);
		free(t);
	}
	return left;
}

void
trash_remove(struct sup *s, const char *name)
{
	struct trash *t;

	if (gather(s, false) < TRASH_THREADS) {
		t = xcalloc(1, sizeof(*t));
		t->dirfd = s->jobs_fd;
		t->name = xstrdup(name);
		if (rk_thread_start(&t->thread, remove_it, t) == 0) {
			t->next = s->trash;
			s->trash = t;
			return;
		}
		free(t->name);
		free(t);
	}
	(void)!rk_remove_tree(s->jobs_fd, name);
}

void
trash_fini(struct sup *s)
{
	gather(s, true);
}
