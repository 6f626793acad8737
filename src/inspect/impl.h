/*
 * inspect - inside: what we and the process that reads say to each other.
 *
 * Packets over a socketpair, one struct each.  We ask, it answers with a
 * SAY_DONE; before that, while it opens the file, it may ask us for other files
 * (SAY_NEED), which we send as descriptors.  What is longer than a sentence
 * goes through the window, memory that both have mapped, and is copied out of
 * it before it is looked at.
 *
 *	ASK_OPEN      .                       n: 1, it could not confine itself
 *	SAY_NEED      text: a plain name,     our answer: rc is an errno, or 0
 *					      and
 *	              or "": an empty file    the descriptor goes with it
 *	ASK_TELL      from: the first item    from: the next one, n: bytes in
 *	                                      the window (weights_tell)
 *	ASK_READ      tensor, from, n         elements in the window
 *	ASK_READ_F32  the same                as floats
 *	ASK_FIGURES   tensor                  a struct inspect_figures there
 */
#ifndef REKINDLE_INSPECT_IMPL_H
#define REKINDLE_INSPECT_IMPL_H

#include "rekindle/inspect.h"

#define INSPECT_WINDOW ((size_t)2 << 20)
#define INSPECT_TEXT   2048
#define INSPECT_BESIDE 5000     /* files that are opened for one */

/* Where the process has what we give it. */
enum { INSPECT_SOCKET_FD = 3, INSPECT_WINDOW_FD, INSPECT_FILE_FD, INSPECT_NEXT_FD };

enum inspect_kind {
	ASK_OPEN = 1, ASK_TELL, ASK_READ, ASK_READ_F32, ASK_FIGURES, SAY_NEED,
	SAY_DONE
};

struct inspect_packet {
	uint32_t kind, rc;
	uint64_t tensor, from, n;
	char text[INSPECT_TEXT];
};

/* confine.c: limits for a process that reads a file of so many bytes, then the
 * calls that it may make from then on.  False: this kernel cannot forbid
 * calls. */
void inspect_limit(uint64_t size);
bool inspect_confine(void);

/* figures.c */
enum rk_err inspect_count(const struct weights_tensor *t,
    struct inspect_figures *out, struct rk_why *why) RK_MUSTCHECK;
/* n elements of a type as doubles; false: they are complex. */
bool inspect_doubles(enum dtype dtype, const void *p, size_t n, double *out);

/* show.c: a text as JSON, or null. */
void inspect_put_text(struct strbuf *b, const char *s);

/* show.c: what lies where show says that this path is. */
enum rk_err inspect_shown(const struct inspect_show *show, const char *path,
    struct weights **out, struct rk_why *why) RK_MUSTCHECK;

#endif
