/*
 * A store that ignores the condition of a put-if-absent: nobody can own an
 * epoch there.  An empty directory waits, for there may be jobs that it should
 * take over; one with jobs trains them, and sends their checkpoints below a
 * part of its own behind the prefix, where they overwrite nobody's.  It writes
 * no claim, no base and no record, and takes nothing away but what is below
 * that part.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

/* Why stores do that, by what their addresses begin with. */
static const struct {
	const char *scheme, *cause;
} causes[] = {
	{ "oss://", "x-oss-forbid-overwrite has no effect in a bucket whose "
	    "versioning is enabled or suspended: take one that never had it" },
	{ "s3://", "the store does not know If-None-Match, or not where the "
	    "bucket has versioning: take one that does" },
	{ "file://", "the file system replaces a name that link(2) finds "
	    "there: take another" },
};

static char *
why_ignored(const struct mirror *m)
{
	const char *cause = "take another store";

	for (size_t i = 0; i < RK_ARRAY_LEN(causes); i++) {
		if (strncmp(m->c.prefix, causes[i].scheme,
		    strlen(causes[i].scheme)) == 0)
			cause = causes[i].cause;
	}
	return xasprintf("%s ignores put-if-absent (a second PUT of one key "
	    "succeeded), so that two machines could both own the jobs of "
	    "instance \"%s\"; %s", m->c.prefix, m->c.instance, cause);
}

static void
say(struct mirror *m, const char *what)
{
	char *why = why_ignored(m);

	free(m->error);
	m->error = rk_text_clean(xasprintf("%s; %s", why, what));
	log_error("mirror: %s", m->error);
	sup_event(m->sup, "", "mirror", m->error, NULL);
	free(why);
}

void
apart_stop(struct mirror *m)
{
	loop_timer_off(m->alone_timer);
	say(m, "this directory is empty and begins nothing: start it again "
	    "when that has changed");
}

char *
apart_part(const struct mirror *m)
{
	return xasprintf("alone/%s/", m->dirname);
}

static void
begin(struct mirror *m)
{
	char *part = apart_part(m), *text;

	text = xasprintf("until then the jobs of this directory go on alone, "
	    "their checkpoints to %s behind the prefix, their records nowhere",
	    part);
	loop_timer_off(m->alone_timer);
	m->apart = true;
	say(m, text);
	mirror_move(m, MIRROR_ALONE, "put-if-absent is ignored");
	ship_apart(m->ship, part);
	ship_go(m->ship, mine_top(m));
	if (!m->alone)
		sup_go(m->sup, mine_top(m));
	m->alone = true;
	free(text);
	free(part);
}

static void
newest_known(struct mirror *m)
{
	/* Another owns what this directory once had: as in step_read(). */
	if (m->b > 0 && mine_top(m) > 0 && !mine_made(m, m->b))
		mirror_lose(m, m->b);
	else if (name_save(m) != RK_OK)
		go_again(m, "cannot write to the database");
	else
		begin(m);
}

static void
claims_known(struct mirror *m)
{
	ask_bases(m, m->top + 1, mine_top(m), newest_known);
}

static void
bases_listed(void *ctx, const struct remote_result *r)
{
	struct mirror *m = ctx;

	must_be(m, MIRROR_TAG);
	if (!step_good(m, r, "list the bases"))
		return;
	m->b = numbers_top(&m->list);
	m->top = RK_MAX(m->b, mine_top(m));
	ask_claims(m, claims_known);
}

void
step_apart(struct mirror *m)
{
	step_list(m, "base/", ".jsonl", bases_listed);
}
