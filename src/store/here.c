/*
 * Is the open file still the one at its path?
 *
 * An open file outlives its name: SQLite goes on with one that somebody has
 * removed, or moved another over, and all that it commits is gone with the
 * process.  The log of commits (PATH-wal) is a file of its own, of which the
 * same is true.
 */
#include <sys/stat.h>

#include <stdlib.h>

#include "db.h"

static bool
is_at(const struct here *h, const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && st.st_dev == h->dev &&
	    st.st_ino == h->ino;
}

static void
learn(struct here *h, const char *path)
{
	struct stat st;

	h->known = stat(path, &st) == 0;
	if (h->known) {
		h->dev = st.st_dev;
		h->ino = st.st_ino;
	}
}

/* SQLite makes the WAL when it needs one, and keeps it until it closes. */
static bool
wal_is_there(struct store *s)
{
	char *path = xasprintf("%s-wal", s->path);

	if (!s->wal.known)
		learn(&s->wal, path);
	bool there = !s->wal.known || is_at(&s->wal, path);
	free(path);
	return there;
}

void
here_open(struct store *s)
{
	learn(&s->file, s->path);
	(void)wal_is_there(s);
}

enum rk_err
here_look(struct store *s)
{
	bool gone = s->file.known && (!is_at(&s->file, s->path) ||
	    !wal_is_there(s));

	if (gone && !s->gone)
		log_error("store: the database %s, or its -wal file, was "
		    "removed or replaced: nothing is acknowledged until it is "
		    "put back", s->path);
	else if (!gone && s->gone)
		log_info("store: the database %s is there again", s->path);
	s->gone = gone;
	return gone ? RK_EGONE : RK_OK;
}

enum rk_err
store_here(struct store *s, struct rk_why *why)
{
	enum rk_err rc = here_look(s);

	if (rc != RK_OK)
		rk_refuse(why, "the database %s (or its -wal file) was removed "
		    "or replaced while this daemon has it open: put it back, "
		    "or start rekindled again and take the jobs back from "
		    "their folders with `rekindle adopt`", s->path);
	return rc;
}
