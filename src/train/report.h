/*
 * report - what a run says: to the daemon over the wire, or to people on
 * standard output; and metrics.jsonl, whoever listens.
 *
 * What is said before the greeting is held and sent after it, because the wire
 * begins with hello.  Nothing here fails a run: a daemon that has gone shows as
 * `gone`, lines for metrics.jsonl that found no room wait for the next.
 */
#ifndef TRAIN_REPORT_H
#define TRAIN_REPORT_H

#include "rekindle/wire.h"

struct alive;                   /* alive.c: a thread that says so */

struct report {
	struct wire *wire;      /* NULL: for people */
	struct alive *alive;    /* until hello; or NULL */
	bool greeted, gone;
	json_t *held;           /* [[type, message], ...] before the greeting */
	bool quiet;             /* print nothing: --summary, --plan */
	bool tty, line_open;    /* a progress line has no newline yet */
	int64_t line_ms;

	int metrics_fd;         /* -1: none */
	struct strbuf unsaved;  /* lines that metrics.jsonl had no room for */
	bool metrics_trouble;   /* said once */
	int64_t attempt, branch;
	int64_t last_attempt;   /* of the last line that was there */
};

struct progress {
	int64_t step, steps_total, epoch, epochs_total;
	double loss, accuracy, learning_rate, samples_per_second, eta_s;
	double stall_ratio;
	double data_wait_ratio; /* below 0: there is no loader */
	int64_t broken;         /* samples; 0: none */
	int64_t phase, phases;  /* from 1; 0: the job has none */
	bool has_accuracy, evaluating;
	bool samples;           /* steps are samples, and nothing is learned */
	json_t *schedule;       /* report_progress() takes it; NULL: as at
				   hello */
};

/* fd -1: no wire.  Over a wire it says from now on that the trainer is alive,
 * until report_hello() or the end. */
void report_open(struct report *p, int fd);
/* Send what waits, for some seconds at most, and close. */
void report_close(struct report *p);

/* Takes the tree.  Says hello and waits for the daemon's; false with a sentence
 * when it does not answer, answers nonsense or has gone. */
bool report_hello(struct report *p, json_t *hello, struct rk_why *why);

void report_event(struct report *p, const char *kind, const char *fmt, ...)
    RK_PRINTF(3, 4);
/* The same, and a warning in the log. */
void report_warning(struct report *p, const char *kind, const char *fmt, ...)
    RK_PRINTF(3, 4);
void report_plan(struct report *p, const char *summary, json_t *plan);
void report_progress(struct report *p, const struct progress *g);
/* These take the tree. */
void report_metric(struct report *p, json_t *m);
void report_checkpoint(struct report *p, json_t *message);
/* How a run ended well; early: why it stopped before the job's length, or
 * NULL. */
struct report_end {
	enum wire_outcome outcome;
	int64_t step;
	bool samples;           /* that is a sample */
	const char *dir, *early;
	json_t *metrics;
};
void report_done(struct report *p, const struct report_end *e);
void report_failed(struct report *p, const char *reason, const char *message,
    bool permanent, json_t *details);        /* takes details; NULL: none */

/* Seconds between two progress messages, for who asks often. */
int64_t report_progress_ms(const struct report *p);

/* alive.c: say on this line, which nobody else may use, that the trainer is at
 * work, until alive_stop() (NULL is fine). */
struct alive *alive_start(struct wire *w);
void alive_stop(struct alive **ap);

/* metrics.c: open dirfd/metrics.jsonl for appending, completing a torn last
 * line; RK_ENOSPC, RK_EROFS, RK_EIO. */
enum rk_err metrics_open(struct report *p, int dirfd) RK_MUSTCHECK;
/* Append a line and send it; takes the object, adds attempt, branch, time. */
void metrics_add(struct report *p, json_t *m);
void metrics_close(struct report *p);

/* A number for JSON: null where JSON has none (NaN, infinity). */
json_t *js_number(double x);
/* json_object_set_new that must succeed. */
void js_put(json_t *o, const char *key, json_t *v);
/* A string that need not be UTF-8. */
json_t *js_text(const char *s);
/* A sentence more in a list of them. */
void js_note(json_t *list, const char *fmt, ...) RK_PRINTF(2, 3);

#endif
