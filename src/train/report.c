/* Events, progress and ends: to the wire or to people. */
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report.h"

#define HELLO_MS   10000        /* the daemon's, after ours */
#define GOODBYE_MS 10000        /* for the last words to be taken */
#define WIRE_PROGRESS_MS  300
#define TTY_PROGRESS_MS   100
#define FILE_PROGRESS_MS  5000

json_t *
js_number(double x)
{
	return isfinite(x) ? json_real(x) : json_null();
}

json_t *
js_text(const char *s)
{
	char *clean = rk_text_clean(xstrdup(s));
	json_t *v = json_string(clean);

	must(v != NULL);
	free(clean);
	return v;
}

void
js_note(json_t *list, const char *fmt, ...)
{
	struct strbuf b = {0};
	va_list ap;

	va_start(ap, fmt);
	sb_vaddf(&b, fmt, ap);
	va_end(ap);
	must(json_array_append_new(list, js_text(sb_str(&b))) == 0);
	sb_fini(&b);
}

void
js_put(json_t *o, const char *key, json_t *v)
{
	must(v != NULL && json_object_set_new(o, key, v) == 0);
}

void
report_open(struct report *p, int fd)
{
	*p = (struct report){ .metrics_fd = -1 };
	if (fd >= 0) {
		p->wire = wire_new(fd);
		p->held = json_array();
		p->alive = alive_start(p->wire);
	}
	p->tty = isatty(STDOUT_FILENO) == 1;
}

static void
flush_last_words(struct wire *w)
{
	const int64_t end_ms = mono_ms() + GOODBYE_MS;

	while (wire_pending(w) && mono_ms() < end_ms) {
		struct pollfd f = { .fd = wire_fd(w), .events = POLLOUT };
		if (poll(&f, 1, 100) < 0 && errno != EINTR)
			break;
		if (wire_flush(w) != RK_OK)
			break;
	}
}

void
report_close(struct report *p)
{
	alive_stop(&p->alive);
	metrics_close(p);
	if (p->wire != NULL && !p->gone)
		flush_last_words(p->wire);
	wire_free(&p->wire);
	json_decref(p->held);
	p->held = NULL;
}

/* Takes the tree. */
static void
say(struct report *p, enum wire_type type, json_t *m)
{
	if (p->wire == NULL || p->gone) {
		json_decref(m);
		return;
	}
	if (!p->greeted) {
		json_t *pair = json_pack("[i, o]", (int)type, m);
		must(pair != NULL && json_array_append_new(p->held, pair) == 0);
		return;
	}
	enum rk_err rc = wire_send(p->wire, type, m);
	if (rc == RK_ENOENT || rc == RK_EIO)
		p->gone = true;
	else if (rc != RK_OK)
		log_warn("train: the daemon does not read: a %s is lost",
		    wire_words[type]);
}

static void
say_held(struct report *p)
{
	p->greeted = true;
	for (size_t i = 0; i < json_array_size(p->held); i++) {
		json_t *pair = json_array_get(p->held, i);
		json_t *m = json_array_get(pair, 1);
		say(p, (enum wire_type)json_integer_value(
		    json_array_get(pair, 0)), json_incref(m));
	}
	json_array_clear(p->held);
}

static bool
await_hello(struct report *p, struct rk_why *why)
{
	const int64_t end_ms = mono_ms() + HELLO_MS;
	struct wire_msg m;
	enum rk_err rc = RK_OK;

	for (;;) {
		while (wire_next(p->wire, &m, &rc, why)) {
			if (rc != RK_OK)
				return false;
			/* wire_parse() has seen to the version. */
			bool hello = m.type == WIRE_HELLO;
			wire_msg_fini(&m);
			if (hello)
				return true;
		}
		int64_t left = end_ms - mono_ms();
		if (left <= 0) {
			rk_refuse(why, "no hello from the daemon in %d seconds",
			    HELLO_MS / 1000);
			return false;
		}
		if (!wire_wait(p->wire, (int)left))
			continue;
		rc = wire_fill(p->wire);
		if (rc != RK_OK) {
			p->gone = true;
			rk_refuse(why, "the daemon has gone");
			return false;
		}
	}
}

bool
report_hello(struct report *p, json_t *hello, struct rk_why *why)
{
	if (p->wire == NULL) {
		json_decref(hello);
		return true;
	}
	alive_stop(&p->alive);
	js_put(hello, "version", json_integer(WIRE_VERSION));
	js_put(hello, "pid", json_integer(getpid()));
	if (wire_send(p->wire, WIRE_HELLO, hello) != RK_OK) {
		p->gone = true;
		rk_refuse(why, "the daemon has gone");
		return false;
	}
	if (!await_hello(p, why))
		return false;
	say_held(p);
	return true;
}

/* --- for people ----------------------------------------------------------- */

static void
end_line(struct report *p)
{
	if (p->line_open)
		fputc('\n', stdout);
	p->line_open = false;
	p->line_ms = 0;
}

static void
print_line(struct report *p, const char *s)
{
	if (p->wire != NULL || p->quiet)
		return;
	end_line(p);
	printf("%s\n", s);
	fflush(stdout);
}

static void
event(struct report *p, bool warn, const char *kind, const char *fmt,
    va_list ap)
{
	struct strbuf b = {0};

	sb_vaddf(&b, fmt, ap);
	char *text = rk_text_clean(sb_detach(&b));
	if (p->wire != NULL)
		(warn ? log_warn : log_info)("train: %s", text);
	print_line(p, text);
	say(p, WIRE_EVENT, json_pack("{s:s, s:s}", "kind", kind,
	    "message", text));
	free(text);
}

void
report_event(struct report *p, const char *kind, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	event(p, false, kind, fmt, ap);
	va_end(ap);
}

void
report_warning(struct report *p, const char *kind, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	event(p, true, kind, fmt, ap);
	va_end(ap);
}

void
report_plan(struct report *p, const char *summary, json_t *plan)
{
	char *text = rkj_text(plan);
	size_t len = strlen(text);

	print_line(p, summary);
	free(text);
	if (p->wire != NULL)
		log_info("train: %s", summary);
	json_t *m = json_pack("{s:o}", "summary", js_text(summary));
	/* plan.json has all of a plan that is too long for a line. */
	if (len < WIRE_LINE_MAX - (64u << 10))
		js_put(m, "plan", plan);
	else
		json_decref(plan);
	say(p, WIRE_PLAN, m);
}

/* "1:02:03", "2:03". */
static char *
clock_text(char out[RK_HUMAN], double s)
{
	long long t = s < 1e9 ? (long long)(s + 0.5) : 0;

	if (t >= 3600)
		snprintf(out, RK_HUMAN, "%lld:%02lld:%02lld", t / 3600,
		    t / 60 % 60, t % 60);
	else
		snprintf(out, RK_HUMAN, "%lld:%02lld", t / 60, t % 60);
	return out;
}

/* In the place of the line before, where there is a screen. */
static void
print_over(struct report *p, const char *s)
{
	if (p->tty) {
		printf("\r%s\033[K", s);
		p->line_open = true;
	} else {
		printf("%s\n", s);
	}
	fflush(stdout);
}

/* Of what only counts samples. */
static void
print_samples(struct report *p, const struct progress *g)
{
	char done[RK_HUMAN], all[RK_HUMAN], speed[RK_HUMAN], left[RK_HUMAN];
	struct strbuf b = {0};

	sb_addf(&b, "%s of %s samples", rk_group_digits(done, g->step),
	    rk_group_digits(all, g->steps_total));
	if (g->samples_per_second > 0)
		sb_addf(&b, "  %s samples/s  left %s", rk_human_rate(speed,
		    g->samples_per_second), clock_text(left, g->eta_s));
	print_over(p, sb_str(&b));
	sb_fini(&b);
}

static void
print_progress(struct report *p, const struct progress *g)
{
	char speed[RK_HUMAN], left[RK_HUMAN];
	struct strbuf b = {0};

	if (p->quiet)
		return;
	if (g->phase > 0)
		sb_addf(&b, "phase %lld/%lld  ", (long long)g->phase,
		    (long long)g->phases);
	if (g->epochs_total > 0)
		sb_addf(&b, "epoch %lld/%lld  ",
		    (long long)RK_MIN(g->epoch + 1, g->epochs_total),
		    (long long)g->epochs_total);
	sb_addf(&b, "step %lld/%lld  loss %.4f", (long long)g->step,
	    (long long)g->steps_total, g->loss);
	if (g->has_accuracy)
		sb_addf(&b, "  accuracy %.4f", g->accuracy);
	/* Not before a step was timed. */
	if (g->samples_per_second > 0)
		sb_addf(&b, "  %s samples/s", rk_human_rate(speed,
		    g->samples_per_second));
	if (g->eta_s > 0 || g->step >= g->steps_total)
		sb_addf(&b, "  left %s", clock_text(left, g->eta_s));
	if (g->evaluating)
		sb_adds(&b, "  evaluating");
	print_over(p, sb_str(&b));
	sb_fini(&b);
}

int64_t
report_progress_ms(const struct report *p)
{
	if (p->wire != NULL)
		return WIRE_PROGRESS_MS;
	return p->tty ? TTY_PROGRESS_MS : FILE_PROGRESS_MS;
}

void
report_progress(struct report *p, const struct progress *g)
{
	if (p->wire == NULL) {
		if (g->samples && !p->quiet)
			print_samples(p, g);
		else
			print_progress(p, g);
		json_decref(g->schedule);
		return;
	}
	json_t *m = json_pack("{s:I, s:I, s:o, s:f, s:f, s:f, s:f}",
	    "step", (json_int_t)g->step, "epoch", (json_int_t)g->epoch,
	    "loss", js_number(g->loss),
	    "learning_rate", g->learning_rate,
	    "samples_per_second", g->samples_per_second,
	    "eta_seconds", g->eta_s, "stall_ratio", g->stall_ratio);
	must(m != NULL);
	if (g->data_wait_ratio >= 0)
		js_put(m, "data_wait_ratio", json_real(g->data_wait_ratio));
	if (g->broken > 0)
		js_put(m, "broken", json_integer(g->broken));
	if (g->phase > 0)
		js_put(m, "phase", json_integer(g->phase));
	if (g->has_accuracy)
		js_put(m, "accuracy", js_number(g->accuracy));
	if (g->schedule != NULL)
		js_put(m, "schedule", g->schedule);
	say(p, WIRE_PROGRESS, m);
}

void
report_metric(struct report *p, json_t *m)
{
	say(p, WIRE_METRIC, json_pack("{s:o}", "metric", m));
}

void
report_checkpoint(struct report *p, json_t *message)
{
	say(p, WIRE_CHECKPOINT, message);
}

static void
add_metric(struct strbuf *b, const json_t *metrics, const char *key,
    const char *word)
{
	const json_t *v = json_object_get(metrics, key);

	if (json_is_number(v))
		sb_addf(b, ", %s %.4f", word, json_number_value(v));
}

void
report_done(struct report *p, const struct report_end *e)
{
	static const char *const words[] = { "finished", "paused", "stopped" };
	struct strbuf b = {0};

	sb_addf(&b, "%s%s at %s %lld", words[e->outcome],
	    e->early != NULL ? " early" : "", e->samples ? "sample" : "step",
	    (long long)e->step);
	add_metric(&b, e->metrics, "loss", "loss");
	add_metric(&b, e->metrics, "accuracy", "accuracy");
	add_metric(&b, e->metrics, "val_loss", "validation loss");
	add_metric(&b, e->metrics, "val_accuracy", "validation accuracy");
	if (e->dir[0] != '\0')
		sb_addf(&b, "; checkpoint %s", e->dir);
	print_line(p, sb_str(&b));
	if (p->wire != NULL)
		log_info("train: %s", sb_str(&b));
	sb_fini(&b);
	static const char *const outcomes[] = {
		"succeeded", "paused", "stopped"
	};
	json_t *m = json_pack("{s:s, s:I, s:s, s:o}",
	    "outcome", outcomes[e->outcome], "step", (json_int_t)e->step,
	    "checkpoint", e->dir, "metrics", e->metrics);
	must(m != NULL);
	if (e->early != NULL) {
		js_put(m, "reason", json_string("early_stopped"));
		js_put(m, "message", js_text(e->early));
	}
	say(p, WIRE_DONE, m);
}

void
report_failed(struct report *p, const char *reason, const char *message,
    bool permanent, json_t *details)
{
	if (p->wire == NULL) {
		end_line(p);
		fflush(stdout);
		json_decref(details);
		return;
	}
	alive_stop(&p->alive);
	/* Behind hello the daemon listens, also when that is all there is to
	 * say. */
	if (!p->greeted && !p->gone) {
		json_t *hello = json_pack("{s:i, s:i, s:b}", "version",
		    WIRE_VERSION, "pid", (int)getpid(), "refused", 1);
		p->gone = wire_send(p->wire, WIRE_HELLO, hello) != RK_OK;
		say_held(p);
	}
	json_t *m = json_pack("{s:s, s:o, s:b}", "reason", reason,
	    "message", js_text(message), "permanent", (int)permanent);
	if (details != NULL)
		js_put(m, "details", details);
	say(p, WIRE_FAILED, m);
}
