/*
 * A live progress line until the job has ended, or waits for a person.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli.h"

#define POLL_US         300000
#define PLAIN_EVERY_MS  5000    /* not on a terminal: a line so often */

static int
bar_width(void)
{
	struct winsize w;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_col == 0)
		return 20;
	return w.ws_col >= 130 ? 30 : w.ws_col >= 110 ? 16 :
	    w.ws_col >= 95 ? 8 : 0;
}

static bool
ended(const char *state)
{
	return strcmp(state, "succeeded") == 0 ||
	    strcmp(state, "failed") == 0 || strcmp(state, "cancelled") == 0;
}

/* Paused or held by a person: it will not move by itself. */
static bool
waits_for_a_person(const json_t *job)
{
	const char *state = cli_str(job, "state");

	return strcmp(state, "held") == 0 || (strcmp(state, "paused") == 0 &&
	    strcmp(cli_str(job, "desired"), "pause") == 0);
}

static void
status_line(struct strbuf *b, const json_t *job)
{
	const char *reason = cli_str(job, "reason");

	sb_addf(b, "%s %s", cli_str(job, "name"), cli_str(job, "state"));
	if (*reason != '\0')
		sb_addf(b, " (%s)", reason);
	sb_adds(b, "  ");
	cli_progress_line(b, job, isatty(STDOUT_FILENO) ? bar_width() : 0);
}

enum cli_exit
cli_watch(const char *id)
{
	bool tty = isatty(STDOUT_FILENO);
	char *path = xasprintf("/v1/jobs/%s", id);
	char last_state[32] = "";
	int64_t next_ms = 0;
	enum cli_exit rc;

	for (;;) {
		struct cli_reply r;
		struct strbuf b = {0};

		rc = cli_call("GET", path, NULL, &r);
		if (rc != CLI_OK) {
			cli_reply_fini(&r);
			break;
		}
		const char *state = cli_str(r.json, "state");
		bool over = ended(state) || waits_for_a_person(r.json);
		bool moved = strcmp(state, last_state) != 0;

		status_line(&b, r.json);
		if (tty) {
			printf("\r\033[K%s", sb_str(&b));
			fflush(stdout);
		} else if (moved || over || mono_ms() >= next_ms) {
			printf("%s\n", sb_str(&b));
			fflush(stdout);
			next_ms = mono_ms() + PLAIN_EVERY_MS;
		}
		snprintf(last_state, sizeof(last_state), "%s", state);
		sb_fini(&b);
		if (over) {
			if (tty)
				putchar('\n');
			if (*cli_str(r.json, "message") != '\0')
				printf("%s\n", cli_str(r.json, "message"));
			rc = strcmp(state, "failed") == 0 ||
			    strcmp(state, "cancelled") == 0 ? CLI_JOB_FAILED :
			    CLI_OK;
			cli_reply_fini(&r);
			break;
		}
		cli_reply_fini(&r);
		usleep(POLL_US);
	}
	free(path);
	return rc;
}

enum cli_exit
cmd_watch(const struct cli_args *a)
{
	char id[RK_ID];
	enum cli_exit rc = cli_find_job(a->pos[0], id);

	return rc == CLI_OK ? cli_watch(id) : rc;
}
