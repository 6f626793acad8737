/*
 * Server-sent events of the daemon, over its restarts: `events -f`, `log -f`,
 * `metrics -f`.
 *
 * Where to go on is the id of the last event that was handed over whole: one
 * that was cut in the middle comes again.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#define FIRST_TRIES 4           /* as any command has */

struct stream {
	struct strbuf in, data, all;
	char id[64];            /* of what was handed over last */
	char next[64];          /* of what is being read */
	cli_event_fn *fn;
	void *ctx;
	bool stopped;
	bool heard;             /* bytes came over this connection */
	bool met;               /* a daemon has answered with a stream */
	bool end;               /* the daemon has said that this is all */
};

static void
stream_line(struct stream *s, const char *p, size_t n)
{
	if (n == 0) {
		memcpy(s->id, s->next, sizeof(s->id));
		if (s->data.len > 0 && !s->stopped) {
			/* The newline behind the last data line is not part. */
			s->stopped = !s->fn(s->ctx, s->data.s, s->data.len - 1);
		}
		sb_reset(&s->data);
	} else if (n >= 5 && memcmp(p, "data:", 5) == 0) {
		size_t skip = n > 5 && p[5] == ' ' ? 6 : 5;
		sb_add(&s->data, p + skip, n - skip);
		sb_addc(&s->data, '\n');
	} else if (n >= 3 && memcmp(p, "id:", 3) == 0) {
		size_t skip = n > 3 && p[3] == ' ' ? 4 : 3;
		snprintf(s->next, sizeof(s->next), "%.*s", (int)(n - skip),
		    p + skip);
	} else if (n >= 9 && memcmp(p, ": the end", 9) == 0) {
		s->end = true;
	}
}

static bool
stream_take(void *ctx, const char *p, size_t n)
{
	struct stream *s = ctx;
	char *nl;

	s->heard = true;
	sb_add(&s->in, p, n);
	while (!s->stopped && s->in.len > 0 &&
	    (nl = memchr(s->in.s, '\n', s->in.len)) != NULL) {
		size_t len = (size_t)(nl - s->in.s);
		bool cr = len > 0 && s->in.s[len - 1] == '\r';
		stream_line(s, s->in.s, cr ? len - 1 : len);
		sb_cut(&s->in, len + 1);
	}
	return !s->stopped;
}

/* Connect, from where we are, and take what comes until it ends. */
static void
stream_once(struct stream *s, const char *path, struct cli_ended *e)
{
	const char *headers[] = { "Accept: text/event-stream", NULL, NULL };
	char line[96];

	if (*s->id != '\0') {
		snprintf(line, sizeof(line), "Last-Event-ID: %s", s->id);
		headers[1] = line;
	}
	s->heard = false;
	memcpy(s->next, s->id, sizeof(s->next));
	sb_reset(&s->in);
	sb_reset(&s->data);
	cli_perform("GET", path, headers, NULL, stream_take, s, 0, e);
	s->met = s->met || e->status == 200;
}

/* What became of one connection. */
enum cut {
	CUT_END,                /* all was sent */
	CUT_REFUSED,            /* an answer that will stay as it is */
	CUT_NOBODY,             /* and nobody was there before, either */
	CUT_AWAY,               /* the daemon ended, or has just begun */
};

static enum cut
how_cut(const struct stream *s, const struct cli_ended *e)
{
	bool answered = e->end == HTTP_ANSWERED;

	if (s->stopped || s->end || (answered && e->status == 204))
		return CUT_END;
	if (!answered)
		return s->met ? CUT_AWAY : CUT_NOBODY;
	if (e->status == 200)
		return CUT_AWAY;
	if (e->status == 404)
		return s->met && cli_daemon_held() ? CUT_AWAY : CUT_REFUSED;
	if (e->status < 500)
		return CUT_REFUSED;
	return !s->met && strstr(sb_str(&s->all), "/problems/too-many") !=
	    NULL ? CUT_REFUSED : CUT_AWAY;
}

/* False: it was waited for long enough, which has been said. */
static bool
wait_for_it(struct cli_away *away, const struct cli_ended *e)
{
	char why[CLI_WHY];

	if (e->end != HTTP_ANSWERED)
		snprintf(why, sizeof(why), "%s", cli_why_unreachable(e));
	else if (e->status == 200)
		snprintf(why, sizeof(why), "the stream ends without a word");
	else
		snprintf(why, sizeof(why), "it answers with %d", e->status);
	if (cli_away_wait(away, why))
		return true;
	(void)cli_unreachable(why);
	return false;
}

enum cli_exit
cli_stream(const char *path, cli_event_fn *fn, void *ctx)
{
	struct stream s = { .fn = fn, .ctx = ctx };
	struct cli_away away = {0};
	struct cli_reply r = {0};
	enum cli_exit ret = CLI_OK;
	enum cut cut;
	int tries = 0;

	for (;;) {
		struct cli_ended e = { .body = &s.all };
		stream_once(&s, path, &e);
		cut = how_cut(&s, &e);
		if (s.heard)
			cli_away_over(&away);
		if (cut == CUT_NOBODY && ++tries < FIRST_TRIES) {
			usleep(150000u << tries);
			continue;
		}
		if (cut == CUT_REFUSED)
			ret = cli_judge(&r, &e, false);
		else if (cut == CUT_NOBODY)
			ret = cli_unreachable(cli_why_unreachable(&e));
		if (cut != CUT_AWAY)
			break;
		if (!wait_for_it(&away, &e)) {
			ret = CLI_NO_SERVER;
			break;
		}
	}
	cli_reply_fini(&r);
	sb_fini(&s.in);
	sb_fini(&s.data);
	sb_fini(&s.all);
	return ret;
}
