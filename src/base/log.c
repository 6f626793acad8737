/* The log: one line a call, in one write, so that lines never mix. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rekindle/base.h"

#define LINE_MAX_BYTES 4096

static _Atomic int log_level = LOG_L_INFO;

static const struct {
	const char *name, *journal;
} levels[] = {
	[LOG_L_DEBUG] = { "debug", "<7>" },
	[LOG_L_INFO]  = { "info",  "<6>" },
	[LOG_L_WARN]  = { "warn",  "<4>" },
	[LOG_L_ERROR] = { "error", "<3>" },
};

void
log_set_level(enum log_level lv)
{
	log_level = (int)lv;
}

bool
log_level_from_name(const char *name, enum log_level *out)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(levels); i++) {
		if (strcmp(name, levels[i].name) == 0) {
			*out = (enum log_level)i;
			return true;
		}
	}
	return false;
}

/*
 * JOURNAL_STREAM is inherited by children whose stderr may go elsewhere, so it
 * counts only when it names what our stderr is: "device:inode".
 */
static bool
to_journal(void)
{
	const char *s = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return s != NULL && sscanf(s, "%llu:%llu", &dev, &ino) == 2 &&
	    fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev &&
	    st.st_ino == ino;
}

static size_t
begin_line(char *line, enum log_level lv)
{
	char t[RK_TIME];
	int n;

	if (to_journal())
		n = snprintf(line, LINE_MAX_BYTES, "%s", levels[lv].journal);
	else
		n = snprintf(line, LINE_MAX_BYTES, "%s %s ",
		    rk_time_text(t, now_ms()), levels[lv].name);
	return (size_t)n;
}

static void RK_PRINTF(3, 0)
log_line(enum log_level lv, const char *tail, const char *fmt, va_list ap)
{
	char line[LINE_MAX_BYTES];
	int saved = errno;

	if ((int)lv < log_level)
		return;
	size_t at = begin_line(line, lv), room = sizeof(line) - 1;
	size_t n = at;
	int k = vsnprintf(line + n, room - n, fmt, ap);
	if (k > 0)
		n += RK_MIN((size_t)k, room - n - 1);
	if (tail != NULL) {
		k = snprintf(line + n, room - n, ": %s", tail);
		if (k > 0)
			n += RK_MIN((size_t)k, room - n - 1);
	}
	/* What came from outside must not look like a line of ours. */
	rk_text_clean(line + at);
	line[n++] = '\n';
	/* Nowhere to complain that the log cannot be written. */
	(void)rk_write_all(STDERR_FILENO, line, n);
	errno = saved;
}

#define LOG_FN(name, level)                                     \
	void                                                    \
	name(const char *fmt, ...)                              \
	{                                                       \
		va_list ap;                                     \
		va_start(ap, fmt);                              \
		log_line(level, NULL, fmt, ap);                 \
		va_end(ap);                                     \
	}

LOG_FN(log_debug, LOG_L_DEBUG)
LOG_FN(log_info, LOG_L_INFO)
LOG_FN(log_warn, LOG_L_WARN)
LOG_FN(log_error, LOG_L_ERROR)

void
log_errno(const char *fmt, ...)
{
	int saved = errno;
	char text[128];
	va_list ap;

	const char *why = strerror_r(saved, text, sizeof(text));
	va_start(ap, fmt);
	log_line(LOG_L_ERROR, why, fmt, ap);
	va_end(ap);
	errno = saved;
}
