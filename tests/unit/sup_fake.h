/*
 * A small world for the supervisor's tests: loop, store and supervisor in the
 * current directory, and the trainer of sup_trainer.h.
 */
#ifndef SUP_FAKE_H
#define SUP_FAKE_H

#include "sup_trainer.h"

struct world {
	struct loop *loop;
	struct store *store;
	struct sup *sup;
	struct sup_config c;
	struct loop_timer *look;
	bool (*until)(struct world *w);
	const char *id;                 /* for the conditions */
	int64_t want, deadline_ms;
	char state_dir[512], trainer[512], data[600];
	bool came;
};

static struct world W;

static inline void
w_look(void *ctx)
{
	struct world *w = ctx;

	if (w->until != NULL && w->until(w))
		w->came = true;
	if (w->came || mono_ms() >= w->deadline_ms)
		loop_stop(w->loop);
	else
		loop_timer_at(w->look, mono_ms() + 2);
}

/* Run the loop until the condition holds, or fail when that should long have
 * been so. */
static inline void
w_until(bool (*fn)(struct world *), const char *what)
{
	W.until = fn;
	W.came = false;
	W.deadline_ms = mono_ms() + 1000 * (int64_t)t_limit(20);
	loop_timer_at(W.look, mono_ms());
	loop_run(W.loop);
	if (!W.came) {
		struct job_row r;
		if (W.id != NULL && W.store != NULL &&
		    store_job_get(W.store, W.id, &r) == RK_OK)
			fprintf(stderr, "%s, attempt %lld: %s (%s)\n",
			    job_state_words[r.state], (long long)r.attempt,
			    r.message, r.reason);
		t_fail("never came: %s", what);
	}
}

static inline void
w_spin(int64_t ms)
{
	W.until = NULL;
	W.came = false;
	W.deadline_ms = mono_ms() + ms;
	loop_timer_at(W.look, mono_ms());
	loop_run(W.loop);
}

static inline void
w_open(void)
{
	struct rk_why why = { 0 };

	t_eq_int(loop_open(&W.loop), RK_OK);
	if (store_open(&W.store, "test.db", &why) != RK_OK ||
	    sup_open(&W.sup, W.loop, W.store, &W.c, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	W.look = loop_timer_add(W.loop, w_look, &W);
}

/* The folder and the settings; a test may change W.c before w_open(). */
static inline void
w_prepare(void)
{
	char cwd[400];

	log_set_level(getenv("T_LOUD") ? LOG_L_DEBUG : LOG_L_ERROR + 1);
	t_check(getcwd(cwd, sizeof(cwd)) != NULL);
	snprintf(W.state_dir, sizeof(W.state_dir), "%s/state", cwd);
	snprintf(W.data, sizeof(W.data), "%s/data.csv", cwd);
	ssize_t n = readlink("/proc/self/exe", W.trainer,
	    sizeof(W.trainer) - 1);
	t_check(n > 0);
	W.trainer[n] = '\0';
	FILE *f = fopen(W.data, "w");
	fputs("a,b\n1,0\n2,1\n", f);
	fclose(f);
	/* Generous where a slow machine must not matter, short where a test
	 * waits for it. */
	W.c = (struct sup_config){ .state_dir = W.state_dir,
		.trainer = W.trainer, .threads = 4, .memory = 4ull << 30,
		.stall_timeout_ms = 30000, .start_timeout_ms = 30000,
		.stop_timeout_ms = 30000, .retry_base_ms = 20,
		.retry_max_ms = 100, .disk_check_ms = 20, .disk_reserve = 1,
		.nice = 1 };
}

static inline void
w_begin(void)
{
	w_prepare();
	w_open();
}

static inline void
w_close(void)
{
	sup_close(&W.sup);
	store_close(&W.store);
	loop_close(&W.loop);
}

static inline json_t *
w_job(const char *script)
{
	return json_pack("{s:s, s:{s:i, s:s}, s:{s:s, s:[i,i]}, s:{s:i},"
	    "s:{s:{s:s, s:s, s:i}}, s:{s:s}}", "name", "j",
	    "resources", "threads", 1, "memory", "256MiB",
	    "model", "arch", "mlp", "sizes", 1, 2,
	    "training", "epochs", 1,
	    "data", "train", "type", "csv", "path", W.data, "label", -1,
	    "metadata", "script", script);
}

static inline enum rk_err
w_try_submit(json_t *tree, char id[RK_ID], struct rk_why *why)
{
	struct spec *spec = NULL;
	enum rk_err rc = spec_parse(tree, &spec, why);

	if (rc != RK_OK)
		t_fail("the test's own job: %s", rk_why_first(why));
	rc = sup_submit(W.sup, spec, id, NULL, why);
	spec_free(spec);
	json_decref(tree);
	return rc;
}

/* Takes the tree; W.id becomes the new job. */
static inline char *
w_submit_tree(json_t *tree)
{
	struct rk_why why = { 0 };
	char *id = xmalloc(RK_ID);

	if (w_try_submit(tree, id, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	W.id = id;
	return id;
}

static inline char *
w_submit(const char *script)
{
	return w_submit_tree(w_job(script));
}

/* What the store has of a job; the caller's. */
static inline struct job_row
w_row(const char *id)
{
	struct job_row r;

	t_eq_int(store_job_get(W.store, id, &r), RK_OK);
	return r;
}

static inline enum job_state
w_state(const char *id)
{
	struct job_row r = w_row(id);
	enum job_state state = r.state;

	store_job_fini(&r);
	return state;
}

static inline bool
w_is_state(struct world *w)
{
	return w_state(w->id) == (enum job_state)w->want;
}

static inline void
w_wait(const char *id, enum job_state state)
{
	W.id = id;
	W.want = state;
	w_until(w_is_state, job_state_words[state]);
}

/* A job that has come so far. */
static inline char *
w_submit_until(const char *script, enum job_state state)
{
	char *id = w_submit(script);

	w_wait(id, state);
	return id;
}

static inline bool
w_has_step(struct world *w)
{
	const json_t *p = sup_progress(w->sup, w->id);

	return json_integer_value(json_object_get(p, "step")) >= w->want;
}

static inline void
w_wait_step(const char *id, int64_t step)
{
	W.id = id;
	W.want = step;
	w_until(w_has_step, "a step");
}

/* Its row knows a checkpoint. */
static inline bool
w_has_known(struct world *w)
{
	struct job_row r = w_row(w->id);
	bool yes = r.known_dir[0] != '\0';

	store_job_fini(&r);
	return yes;
}

static inline bool
w_has_attempt(struct world *w)
{
	struct job_row r = w_row(w->id);
	bool yes = r.attempt >= w->want;

	store_job_fini(&r);
	return yes;
}

static inline void
w_wait_attempt(const char *id, int64_t n)
{
	W.id = id;
	W.want = n;
	w_until(w_has_attempt, "an attempt");
}

static inline bool
w_see_event(void *ctx, const struct event_row *e)
{
	sb_addf(ctx, "[%s] %s\n", e->kind, e->message);
	return true;
}

/* All events of a job, a line each; valid until the next call. */
static inline const char *
w_events(const char *id)
{
	static struct strbuf b;

	sb_fini(&b);
	t_eq_int(store_events(W.store, id, 0, 10000, w_see_event, &b), RK_OK);
	return sb_str(&b);
}

static inline bool
w_see_attempt(void *ctx, const struct attempt_row *a)
{
	sb_addf(ctx, "%lld:%s:%s:%lld ", (long long)a->n, a->outcome, a->from,
	    (long long)a->branch);
	return true;
}

/* "1:crashed::1 2:succeeded:step-000000010:1 " */
static inline const char *
w_attempts(const char *id)
{
	static struct strbuf b;

	sb_fini(&b);
	t_eq_int(store_attempts(W.store, id, 0, 100, w_see_attempt, &b),
	    RK_OK);
	return sb_str(&b);
}

/* The reason of a job; valid until the next call. */
static inline const char *
w_reason(const char *id)
{
	static char reason[64];
	struct job_row r = w_row(id);

	snprintf(reason, sizeof(reason), "%s", r.reason);
	store_job_fini(&r);
	return reason;
}

/* Its row has this reason, and a message with these words. */
static inline void
w_says(const char *id, const char *reason, const char *part)
{
	struct job_row r = w_row(id);

	t_eq_str(r.reason, reason);
	t_has(r.message, part);
	store_job_fini(&r);
}

#endif
