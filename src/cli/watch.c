/*
 * A live progress line until the job has ended, or will not go on by itself.
 *
 * The daemon may go and come back meanwhile.  What it said last decides what
 * its staying away means: one that was leaving has saved the job for the next
 * (7), one that vanished without a word cannot be reached (3).
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#define POLL_US         300000
#define PLAIN_EVERY_MS  5000    /* not on a terminal: a line so often */

struct watch {
	char *path;             /* /v1/jobs/ID */
	bool tty, met;
	struct cli_away away;
	char head[400];         /* "NAME STATE (REASON)", as it was last */
	char said[32];          /* the state of the last line that was
				   printed */
	bool planned;           /* the warm start was told of */
	size_t forgotten;       /* classes that were said to be */
	char draining[24];
	int64_t next_ms;
};

/* On a terminal that can go back to the beginning of a line. */
static bool
is_live(void)
{
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) &&
	    (term == NULL || strcmp(term, "dumb") != 0);
}

/* One column is kept free: a terminal whose last one is written to may have
 * gone to the next line. */
static size_t
room(void)
{
	size_t n = cli_columns(STDOUT_FILENO);

	return n > 1 ? n - 1 : 1;
}

static int
bar_width(size_t columns)
{
	return columns >= 130 ? 30 : columns >= 110 ? 16 : columns >= 95 ? 8 :
	    0;
}

/* In place of the line before, cut to what the terminal has by now. */
static void
draw(const struct watch *w, const char *rest)
{
	char *line = xasprintf("%s  %s", w->head, rest);

	cli_cut(line, room());
	printf("\r\033[K%s", line);
	fflush(stdout);
	free(line);
}

static void
read_head(struct watch *w, const json_t *job)
{
	const char *reason = cli_str(job, "reason");

	snprintf(w->head, sizeof(w->head), *reason != '\0' ? "%s %s (%s)" :
	    "%s %s%s", cli_str(job, "name"), cli_str(job, "state"), reason);
	rk_text_clean(w->head);
}

static void
show_live(struct watch *w, const json_t *job)
{
	size_t columns = room(), head = cli_width(w->head) + 2;
	struct strbuf b = {0};

	cli_progress_line(&b, job, bar_width(columns),
	    columns > head ? columns - head : 1);
	draw(w, sb_str(&b));
	sb_fini(&b);
}

static void
show_plain(struct watch *w, const json_t *job, bool over)
{
	const char *state = cli_str(job, "state");
	struct strbuf b = {0};

	if (strcmp(state, w->said) == 0 && !over && mono_ms() < w->next_ms)
		return;
	cli_progress_line(&b, job, 0, 0);
	printf("%s  %s\n", w->head, sb_str(&b));
	fflush(stdout);
	sb_fini(&b);
	snprintf(w->said, sizeof(w->said), "%s", state);
	w->next_ms = mono_ms() + PLAIN_EVERY_MS;
}

/* Once: what the warm start loaded, and how it cut the learning rate. */
static void
tell_plan(struct watch *w, const json_t *job)
{
	const char *summary = cli_str(job, "plan_summary");

	if (w->planned || *summary == '\0')
		return;
	char *rate = cli_plan_rate(json_object_get(job, "plan"));
	printf("%s%s%s%s\n", w->tty ? "\r\033[K" : "", summary, *rate != '\0' ?
	    "; learning rate " : "", rate);
	free(rate);
	w->planned = true;
}

/* Once for each class more that the job has forgotten. */
static void
tell_forgotten(struct watch *w, const json_t *job)
{
	struct strbuf b = {0};
	const size_t n = cli_forgotten(&b, json_object_get(job, "progress"));

	if (n > w->forgotten)
		printf("%sforgotten: %s\n", w->tty ? "\r\033[K" : "",
		    sb_str(&b));
	w->forgotten = RK_MAX(w->forgotten, n);
	sb_fini(&b);
}

/* The last line names state, step and figures; a message that says more than
 * that stands before it. */
static enum cli_exit
finish(struct watch *w, const json_t *job, enum cli_verdict v)
{
	struct strbuf b = {0};

	if (w->tty)
		putchar('\n');
	if (v != CLI_SUCCEEDED && *cli_str(job, "message") != '\0')
		printf("%s\n", cli_str(job, "message"));
	cli_outcome(&b, job, w->tty ? room() : 0);
	printf("%s\n", sb_str(&b));
	sb_fini(&b);
	fflush(stdout);
	/* A job that was stopped for it has said so in its message. */
	if (cli_verdicts[v].code == CLI_MACHINE &&
	    strcmp(cli_str(job, "reason"), w->draining) != 0)
		fprintf(stderr, "rekindle: the daemon takes no more work (%s); "
		    "the job goes on with the next one\n", w->draining);
	return cli_verdicts[v].code;
}

/* False: it has been away for long enough. */
static bool
wait_for_daemon(struct watch *w, const char *why)
{
	char *text;

	if (!w->tty)
		return cli_away_wait(&w->away, why);
	if (cli_away_spent(&w->away))
		return false;
	text = cli_away_text(&w->away);
	if (w->head[0] == '\0')
		snprintf(w->head, sizeof(w->head), "rekindle");
	draw(w, text);
	free(text);
	usleep(POLL_US);
	return true;
}

static enum cli_exit
gave_up(const struct watch *w, const char *why)
{
	if (w->tty && w->head[0] != '\0')
		putchar('\n');
	fflush(stdout);
	if (w->draining[0] == '\0')
		return cli_unreachable(why);
	fprintf(stderr, "rekindle: the daemon at %s left (%s) and has not come "
	    "back: %s\n", cli_server_text(), w->draining, why);
	return CLI_MACHINE;
}

/* The job was read: show it.  False: *rc is how watching ends. */
static bool
seen(struct watch *w, const struct cli_reply *r, enum cli_exit *rc)
{
	const struct cli_seen s = { cli_str(r->json, "state"),
	    cli_str(r->json, "desired"), cli_str(r->json, "reason"),
	    r->draining };
	enum cli_verdict v = cli_judge_job(&s);
	bool over = cli_verdicts[v].over;

	w->met = true;
	memcpy(w->draining, r->draining, sizeof(w->draining));
	if (v != CLI_UNTIL_LIMIT)
		cli_away_over(&w->away);
	else if (cli_away_spent(&w->away))
		over = true;
	read_head(w, r->json);
	tell_plan(w, r->json);
	tell_forgotten(w, r->json);
	if (w->tty)
		show_live(w, r->json);
	else
		show_plain(w, r->json, over);
	if (over)
		*rc = finish(w, r->json, v);
	else
		usleep(POLL_US);
	return !over;
}

/* One look; false: *rc is how watching ends. */
static bool
look(struct watch *w, enum cli_exit *rc)
{
	char why[CLI_WHY] = "";
	struct cli_reply r;
	enum cli_look l = cli_look(w->path, &r, why);
	bool on;

	if (l == CLI_LOOK_OK) {
		on = seen(w, &r, rc);
		cli_reply_fini(&r);
		return on;
	}
	cli_reply_fini(&r);
	/* Nobody is there, and never was; or there is no such job: say that as
	 * any command does. */
	bool gone = l == CLI_LOOK_GONE && !(w->met && cli_daemon_held());
	if (gone || (l == CLI_LOOK_NOBODY && !w->met)) {
		if (w->tty && w->head[0] != '\0')
			putchar('\n');
		*rc = cli_call("GET", w->path, NULL, &r);
		cli_reply_fini(&r);
		return *rc == CLI_OK;
	}
	if (l == CLI_LOOK_GONE)
		snprintf(why, sizeof(why), "it takes its jobs over");
	on = wait_for_daemon(w, why);
	if (!on)
		*rc = gave_up(w, why);
	return on;
}

/* What Ctrl-C ends is the watching; this thread alone hears of it (base.h). */
static void *
hear_interrupt(void *ctx)
{
	static const char said[] = "\nrekindle: the job goes on; rekindle pause "
	    "or cancel stops it\n";
	sigset_t set;
	int sig;

	(void)ctx;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	if (sigwait(&set, &sig) != 0)
		return NULL;
	(void)!write(STDERR_FILENO, said, sizeof(said) - 1);
	must(pthread_sigmask(SIG_UNBLOCK, &set, NULL) == 0);
	kill(getpid(), sig);            /* it ends us as it always did */
	return NULL;
}

/* Not where SIGINT is ignored, as behind a shell's &. */
static void
listen_for_interrupt(void)
{
	struct sigaction was;
	sigset_t set, old;
	pthread_t thread;

	if (sigaction(SIGINT, NULL, &was) != 0 || was.sa_handler != SIG_DFL)
		return;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	must(pthread_sigmask(SIG_BLOCK, &set, &old) == 0);
	if (rk_thread_start(&thread, hear_interrupt, NULL) != 0)
		must(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
	else
		must(pthread_detach(thread) == 0);
}

enum cli_exit
cli_watch(const char *id, bool met)
{
	struct watch w = { .path = xasprintf("/v1/jobs/%s", id),
	    .tty = is_live(), .met = met };
	enum cli_exit rc = CLI_OK;

	listen_for_interrupt();
	while (look(&w, &rc))
		;
	free(w.path);
	return rc;
}

enum cli_exit
cmd_watch(const struct cli_args *a)
{
	char id[RK_ID];
	enum cli_exit rc = cli_find_job(a->pos[0], id);

	return rc == CLI_OK ? cli_watch(id, false) : rc;
}
