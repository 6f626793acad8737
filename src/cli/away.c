/*
 * A daemon that is not there for now: it is restarted, or its machine is.  Who
 * watches or follows waits for it, for as long as --patience says.
 */
#include <unistd.h>

#include "cli.h"

#define AGAIN_US     500000
#define SAY_AFTER_MS 400        /* most restarts are over by then */

static int64_t patience_ms;
static bool was_asked;

void
cli_patience_set(int64_t seconds, bool asked)
{
	patience_ms = seconds * 1000;
	was_asked = asked;
}

bool
cli_patience_asked(void)
{
	return was_asked;
}

bool
cli_away_spent(struct cli_away *a)
{
	if (!a->on) {
		a->on = true;
		a->since_ms = mono_ms();
	}
	return mono_ms() - a->since_ms >= patience_ms;
}

void
cli_away_over(struct cli_away *a)
{
	*a = (struct cli_away){0};
}

char *
cli_away_text(const struct cli_away *a)
{
	return xasprintf("waiting for the daemon, %lld s of %lld",
	    (long long)(mono_ms() - a->since_ms) / 1000,
	    (long long)patience_ms / 1000);
}

bool
cli_away_say(struct cli_away *a)
{
	if (a->said || mono_ms() - a->since_ms < SAY_AFTER_MS)
		return false;
	return a->said = true;
}

bool
cli_away_wait(struct cli_away *a, const char *why)
{
	if (cli_away_spent(a))
		return false;
	if (cli_away_say(a))
		fprintf(stderr, "rekindle: waiting for the daemon at %s, %lld "
		    "s at most: %s\n", cli_server_text(),
		    (long long)patience_ms / 1000, why);
	usleep(AGAIN_US);
	return true;
}

bool
cli_daemon_held(void)
{
	char why[CLI_WHY];
	struct cli_reply r;
	bool held = cli_look("/v1/status", &r, why) == CLI_LOOK_OK &&
	    json_is_true(json_object_get(r.json, "held"));

	cli_reply_fini(&r);
	return held;
}
