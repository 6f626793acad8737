/*
 * Some daemons in one process, without their API: each a node with a state
 * directory and a loop of its own, and one bucket (a folder).  The test's own
 * loop (sup_fake.h's) gives each node's a millisecond a round; one that is
 * `frozen` gets none.  Trainers are sup_trainer.h's.
 */
#ifndef MIRROR_WORLD_H
#define MIRROR_WORLD_H

#include <stdarg.h>

#include "impl.h"
#include "rekindle/ckpt.h"
#include "rekindle/wire.h"
#include "sup_fake.h"

#define NODES 12
struct node {
	char dir[600];
	struct loop *loop;
	struct loop_timer *stop;
	struct http *http;
	struct remote *remote;
	bool frozen;
	struct store *store;
	struct sup *sup;
	struct ship *ship;
	struct mirror *mirror;
	bool lost;
	char *who;
};

static struct node *w_nodes[NODES];
static char w_bucket[600];
static int64_t w_check_ms = 50, w_start_wait_ms = 60000;
static const char *w_instance = "gpu-a";

static inline void
w_stop(void *ctx)
{
	loop_stop(ctx);
}

static inline void
w_run_node(struct node *n, int64_t ms)
{
	loop_timer_at(n->stop, mono_ms() + ms);
	loop_run(n->loop);
}

static int64_t w_rounds;

static inline int64_t
w_round(void *ctx)
{
	(void)ctx;
	w_rounds++;
	for (int i = 0; i < NODES; i++) {
		if (w_nodes[i] != NULL && !w_nodes[i]->frozen)
			w_run_node(w_nodes[i], 1);
	}
	return 1;
}

static inline void
w_world(void)
{
	char cwd[400];

	w_prepare();
	t_check(getcwd(cwd, sizeof(cwd)) != NULL);
	snprintf(w_bucket, sizeof(w_bucket), "%s/bucket", cwd);
	t_eq_int(loop_open(&W.loop), RK_OK);
	W.look = loop_timer_add(W.loop, w_look, &W);
	loop_hook(W.loop, w_round, NULL);
}

static inline void
w_on_lost(void *ctx, const char *who)
{
	struct node *n = ctx;

	t_check(!n->lost);
	n->lost = true;
	n->who = xstrdup(who);
}

/* A daemon starts on the directory of that name. */
static inline void
w_start(struct node *n, const char *name)
{
	struct rk_why why = { 0 };
	char cwd[400], path[700], *prefix = xasprintf("file://%s/", w_bucket);

	t_check(getcwd(cwd, sizeof(cwd)) != NULL);
	*n = (struct node){ .lost = false };
	int at = 0;
	while (w_nodes[at] != NULL)
		at++;
	w_nodes[at] = n;
	snprintf(n->dir, sizeof(n->dir), "%s/%s", cwd, name);
	t_eq_int(rk_mkdirs(n->dir, 0755), RK_OK);
	snprintf(path, sizeof(path), "%s/test.db", n->dir);
	struct http_config hc = { 0 };
	struct remote_config rc = { 0 };
	struct sup_config c = W.c;
	c.state_dir = n->dir;
	c.held = true;
	c.instance = w_instance;
	static json_t *everywhere;
	if (everywhere == NULL)
		everywhere = json_pack("[s]", "/");
	struct ship_config sc = { .state_dir = n->dir, .prefix = prefix,
		.paths = everywhere,
		.instance = w_instance, .uploads = 2, .cache_limit = 1 << 30,
		.stale_upload_ms = 86400000, .retry_ms = 50,
		.retry_max_ms = 200 };
	struct mirror_config mc = { .prefix = prefix, .instance = w_instance,
		.check_ms = w_check_ms, .batch_ms = 5,
		.start_wait_ms = w_start_wait_ms };
	if (loop_open(&n->loop) != RK_OK ||
	    http_open(&n->http, n->loop, &hc) != RK_OK ||
	    remote_open(&n->remote, n->loop, n->http, &rc, &why) != RK_OK ||
	    store_open(&n->store, path, &why) != RK_OK ||
	    sup_open(&n->sup, n->loop, n->store, &c, &why) != RK_OK ||
	    ship_open(&n->ship, n->loop, n->remote, n->store, n->sup, &sc,
	    &why) != RK_OK || mirror_open(&n->mirror, n->loop, n->remote,
	    n->store, n->sup, n->ship, &mc, w_on_lost, n, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	n->stop = loop_timer_add(n->loop, w_stop, n->loop);
	free(prefix);
}

/* As by kill -9, but that its trainers die with it. */
static inline void
w_kill(struct node *n)
{
	for (int i = 0; i < NODES; i++) {
		if (w_nodes[i] == n)
			w_nodes[i] = NULL;
	}
	if (W.store == n->store) {
		W.store = NULL;
		W.sup = NULL;
	}
	mirror_close(&n->mirror);
	ship_close(&n->ship);
	sup_close(&n->sup);
	store_close(&n->store);
	remote_close(&n->remote);
	http_close(&n->http);
	loop_timer_del(&n->stop);
	loop_close(&n->loop);
	free(n->who);
	n->who = NULL;
}

/* With those that are left in it. */
static inline void
w_world_end(void)
{
	for (int i = 0; i < NODES; i++) {
		if (w_nodes[i] != NULL)
			w_kill(w_nodes[i]);
	}
	loop_timer_del(&W.look);
	loop_close(&W.loop);
}

/* The verbs of sup_fake.h are about this one. */
static inline void
w_use(struct node *n)
{
	W.store = n->store;
	W.sup = n->sup;
}

/* --- waiting -------------------------------------------------------------- */

static struct node *w_node;             /* for the conditions */
static enum mirror_state w_state_want;

static inline bool
w_is_mirror(struct world *w)
{
	(void)w;
	return w_node->mirror->state == w_state_want;
}

static inline void
w_wait_mirror(struct node *n, enum mirror_state s)
{
	w_node = n;
	w_state_want = s;
	w_until(w_is_mirror, mirror_state_words[s]);
}

/* It starts, becomes the owner, and the verbs are about it. */
static inline void
w_own(struct node *n, const char *name)
{
	w_start(n, name);
	w_use(n);
	w_wait_mirror(n, MIRROR_OWNER);
}

static inline bool
w_is_lost(struct world *w)
{
	(void)w;
	return w_node->lost;
}

/* It has seen a higher epoch than its own. */
static inline void
w_wait_lost(struct node *n)
{
	w_node = n;
	w_until(w_is_lost, "a higher epoch");
}

static inline bool
w_has_error(struct world *w)
{
	(void)w;
	return w_node->mirror->error != NULL;
}

/* It says what keeps it from beginning. */
static inline void
w_wait_error(struct node *n, const char *part)
{
	w_node = n;
	w_until(w_has_error, "an error");
	t_has(n->mirror->error, part);
	t_check(sup_held(n->sup));
}

static inline bool
w_is_written(struct world *w)
{
	(void)w;
	return w_node->mirror->waiting_recs == 0 &&
	    w_node->mirror->state == MIRROR_OWNER;
}

/* Every record is in the bucket. */
static inline void
w_wait_written(struct node *n)
{
	w_node = n;
	w_until(w_is_written, "records in the bucket");
}

static inline bool
w_see_verified(void *ctx, const struct remote_row *r)
{
	int *left = ctx;

	*left += r->state != RS_VERIFIED;
	left[1]++;
	return true;
}

static inline bool
w_is_shipped(struct world *w)
{
	int left[2] = { 0, 0 };

	t_eq_int(store_remotes(w_node->store, w->id, 0, w_see_verified, left),
	    RK_OK);
	return left[0] == 0 && left[1] >= w->want;
}

/* At least so many checkpoints of a job are remote and verified. */
static inline void
w_wait_shipped(struct node *n, const char *id, int count)
{
	w_node = n;
	W.id = id;
	W.want = count;
	w_until(w_is_shipped, "checkpoints in the bucket");
}

static inline void
w_saved(void *ctx, enum rk_err rc, const char *dir, const char *why)
{
	if (rc != RK_OK)
		t_fail("not saved: %s", why);
	snprintf(ctx, CKPT_DIR_MAX, "%s", dir);
}

static char w_saved_dir[CKPT_DIR_MAX];
static inline bool
w_is_saved(struct world *w)
{
	(void)w;
	return w_saved_dir[0] != '\0';
}

/* A running job saves now; its folder's name. */
static inline const char *
w_save(const char *id)
{
	struct rk_why why = { 0 };

	w_saved_dir[0] = '\0';
	if (sup_checkpoint(W.sup, id, "", w_saved, w_saved_dir, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	w_until(w_is_saved, "a checkpoint");
	return w_saved_dir;
}

/* A job that runs, and whose checkpoint `dir` is in the bucket. */
static inline char *
w_run_shipped(struct node *n, char dir[CKPT_DIR_MAX])
{
	char *id = w_submit("run");

	w_wait_step(id, 5);
	snprintf(dir, CKPT_DIR_MAX, "%s", w_save(id));
	w_wait_shipped(n, id, 1);
	return id;
}

/* --- what lies there ------------------------------------------------------ */

/* A checkpoint, on the node's own disk. */
static inline bool
w_has_local(const struct node *n, const char *job, const char *name)
{
	char *p = xasprintf("%s/jobs/%s/checkpoints/%s", n->dir, job, name);
	bool yes = access(p, F_OK) == 0;

	free(p);
	return yes;
}

/* An object, in the bucket. */
__attribute__((format(printf, 1, 2))) static inline bool
w_there(const char *fmt, ...)
{
	char path[300], *p;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	p = xasprintf("%s/%s", w_bucket, path);
	bool yes = access(p, F_OK) == 0;
	free(p);
	return yes;
}

/* An object of the instance, as somebody else would put it. */
static inline void
w_put(const char *path, const char *text)
{
	char *p = xasprintf("%s/instances/%s/%s", w_bucket, w_instance, path);
	char *slash = strrchr(p, '/');

	*slash = '\0';
	t_eq_int(rk_mkdirs(p, 0755), RK_OK);
	*slash = '/';
	FILE *f = fopen(p, "w");
	t_check(f != NULL);
	fputs(text, f);
	fclose(f);
	free(p);
}

/* The text of one. */
static inline char *
w_get(const char *path)
{
	char *p = xasprintf("%s/instances/%s/%s", w_bucket, w_instance, path);
	char *text;
	size_t n;

	t_eq_int(rk_read_file(AT_FDCWD, p, 64 << 20, &text, &n), RK_OK);
	free(p);
	return text;
}

#endif
