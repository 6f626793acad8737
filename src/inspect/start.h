/* What we have of a process that reads. */
#ifndef INSPECT_START_H
#define INSPECT_START_H

#include <sys/types.h>

#include "rekindle/inspect.h"

struct inspect {
	pid_t pid;                      /* 0: it has ended */
	int socket;                     /* -1: closed */
	const void *window;             /* NULL: none */
	char *path;
	int wait_ms;
	unsigned opened;                /* files beside it */
	enum rk_err end;                /* once it has ended: what became of
					   it */
	char *sentence;
};

/* file becomes the process's.  What i has is freed by inspect_end() in any
 * case. */
enum rk_err inspect_start(struct inspect *i, const char *name,
    const struct inspect_how *how, int file, struct rk_why *why) RK_MUSTCHECK;

#endif
