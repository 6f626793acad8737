/*
 * How many files may be open at a time, and how the API is fitted to that.
 *
 * Each connection is a descriptor, a stream of a file one more.  The database,
 * trainers (their lines, logs and pidfds), transfers and their files need
 * theirs too, and clients must not take them: what they may have is what is
 * left.
 */
#include "impl.h"

#include <sys/resource.h>

#define OWN          40         /* of a daemon that does nothing, and more */
#define EACH_TRAINER 4
#define TRANSFERS    128
#define LEAST        64         /* below it nothing would work */

/* What clients may not have.  Where there is little, they still get three
 * eighths. */
static int64_t
reserve(const struct config *c, int64_t all)
{
	return RK_MIN(OWN + EACH_TRAINER * c->threads + TRANSFERS,
	    all / 8 * 5);
}

static int64_t
raise_limit(const struct config *c)
{
	struct rlimit lim;
	int64_t want = 2 * c->connections + c->streams + OWN + TRANSFERS +
	    EACH_TRAINER * c->threads;

	if (getrlimit(RLIMIT_NOFILE, &lim) != 0)
		return LEAST;
	if (lim.rlim_cur < (rlim_t)want) {
		lim.rlim_cur = RK_MIN((rlim_t)want, lim.rlim_max);
		if (setrlimit(RLIMIT_NOFILE, &lim) != 0)
			log_errno("daemon: cannot raise the limit on open "
			    "files");
		(void)getrlimit(RLIMIT_NOFILE, &lim);
	}
	return (int64_t)RK_MIN(lim.rlim_cur, (rlim_t)INT32_MAX);
}

enum rk_err
files_fit(struct config *c, struct rk_why *why)
{
	int64_t all = raise_limit(c), room, connections = c->connections,
	    streams = c->streams;

	if (all < LEAST)
		return rk_refuse(why, "at most %lld files may be open (ulimit "
		    "-n, LimitNOFILE=): want %d or more", (long long)all,
		    LEAST);
	room = all - reserve(c, all);
	c->streams = RK_MIN(streams, room / 4);
	c->descriptors = room - c->streams;
	c->connections = RK_MIN(connections, c->descriptors);
	if (c->connections < connections || c->streams < streams)
		log_warn("daemon: at most %lld files may be open (ulimit -n, "
		    "LimitNOFILE=): api.connections is %lld in place of %lld, "
		    "api.streams %lld in place of %lld", (long long)all,
		    (long long)c->connections, (long long)connections,
		    (long long)c->streams, (long long)streams);
	return RK_OK;
}
