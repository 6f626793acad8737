/*
 * rekindled --gave-up: what rekindled-failed.service says when systemd does not
 * start the service any more.  The words go into the journal of the service
 * itself (OBJECT_SYSTEMD_UNIT=, which root may set), so that `systemctl status`
 * shows them.
 */
#include "impl.h"

#include <string.h>
#include <systemd/sd-journal.h>

/* What to do, by how the last daemon ended. */
static const struct {
	enum daemon_exit code;
	const char *what;
} advice[] = {
	{ EXIT_USAGE, "its configuration or its flags are wrong: put right "
	    "what the lines above name, in " CONFIG_FILE },
	{ EXIT_STATE, "it cannot use its state directory: put right what the "
	    "lines above say" },
	{ EXIT_BUSY, "another rekindled uses its state directory: end that "
	    "one, or give this one a state_dir of its own" },
	{ EXIT_DATABASE, "its database is damaged, or written by a newer "
	    "rekindled: install that, or see what the lines above say" },
	{ EXIT_LISTEN, "another program has its address or its socket: end "
	    "that one, or set `listen` or `socket` in " CONFIG_FILE },
	{ EXIT_TAKEN, "another machine has taken its jobs over, which is as it "
	    "should be; started again, this one would take them back" },
};

static const char *
env(const char *name)
{
	const char *v = getenv(name);

	return v != NULL ? v : "";
}

/* NULL: not an exit code of ours that is not tried again. */
static const char *
advice_of(const char *how, const char *status)
{
	const long code = strtol(status, NULL, 10);

	for (size_t i = 0; i < RK_ARRAY_LEN(advice); i++) {
		if (strcmp(how, "exited") == 0 && code == (long)advice[i].code)
			return advice[i].what;
	}
	return NULL;
}

/* systemd.exec(5), $MONITOR_...: of the unit that this one is OnFailure= of. */
void
gave_up_say(void)
{
	const char *unit = env("MONITOR_UNIT");
	const char *status = env("MONITOR_EXIT_STATUS");
	const char *what = advice_of(env("MONITOR_EXIT_CODE"), status);
	const char *result = env("MONITOR_SERVICE_RESULT");
	char *text;

	if (unit[0] == '\0')
		unit = "rekindled.service";
	if (what != NULL)
		text = xasprintf("%s is not started again: %s.  Then: "
		    "systemctl start %s", unit, what, unit);
	else if (strcmp(result, "start-limit-hit") == 0)
		text = xasprintf("%s was started too often in two minutes and is "
		    "not started now; nothing else is wrong.  Then: systemctl "
		    "reset-failed %s && systemctl start %s", unit, unit, unit);
	else
		text = xasprintf("%s died again and again (the last time: "
		    "%s%s%s%s) and is not started any more.  Jobs and "
		    "checkpoints are safe on the disk.  See why: journalctl "
		    "-u %s -b.  Then: systemctl reset-failed %s && systemctl "
		    "start %s", unit, result[0] != '\0' ? result : "unknown",
		    status[0] != '\0' ? " (" : "", status,
		    status[0] != '\0' ? ")" : "", unit, unit, unit);
	if (sd_journal_send("MESSAGE=%s", text, "PRIORITY=3",
	    "OBJECT_SYSTEMD_UNIT=%s", unit, "SYSLOG_IDENTIFIER=rekindled",
	    NULL) != 0)
		log_error("%s", text);
	free(text);
}
