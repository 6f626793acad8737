/*
 * A world for the tests of ship: the supervisor's (sup_fake.h), and a folder
 * ./bucket as the object store, file://<cwd>/bucket/.
 */
#ifndef SHIP_WORLD_H
#define SHIP_WORLD_H

#include <sys/stat.h>

#include "rekindle/http.h"
#include "rekindle/wire.h"

#include "sup_fake.h"
#include "u_ckpt.h"

static struct {
	struct http *http;
	struct remote *remote;
	struct ship *ship;
	struct ship_config c;
	char prefix[600], state[512];
	int64_t epoch;
	bool held_back;         /* no ship_go() yet */
	json_t *stores;
} S;

static U_UNUSED void
s_open(void)
{
	struct remote_config rc = { .stores = S.stores };
	struct rk_why why = {0};

	w_open();
	t_eq_int(http_open(&S.http, W.loop, &(struct http_config){0}), RK_OK);
	if (remote_open(&S.remote, W.loop, S.http, &rc, &why) != RK_OK ||
	    ship_open(&S.ship, W.loop, S.remote, W.store, W.sup, &S.c, &why) !=
	    RK_OK)
		t_fail("%s", rk_why_first(&why));
	if (!S.held_back)
		ship_go(S.ship, S.epoch);
}

static U_UNUSED void
s_prepare(void)
{
	w_prepare();
	mkdir("bucket", 0755);
	snprintf(S.state, sizeof(S.state), "%s", W.state_dir);
	snprintf(S.prefix, sizeof(S.prefix), "file://%.*s/bucket/",
	    (int)(strlen(W.state_dir) - strlen("/state")), W.state_dir);
	S.c = (struct ship_config){ .state_dir = W.state_dir,
		.prefix = S.prefix, .instance = "here", .retry_ms = 20,
		.retry_max_ms = 100 };
}

static U_UNUSED void
s_begin(void)
{
	s_prepare();
	s_open();
}

/* As a daemon that is killed leaves it: nothing is finished. */
static U_UNUSED void
s_close(void)
{
	ship_close(&S.ship);
	remote_close(&S.remote);
	http_close(&S.http);
	loop_timer_del(&W.look);
	w_close();
}

/* A daemon that is killed so many microseconds after its start. */
static U_UNUSED void
s_killed(useconds_t after)
{
	int status, pipefd[2];
	char c;

	fflush(NULL);
	t_eq_int(pipe(pipefd), 0);
	pid_t pid = fork();
	if (pid == 0) {
		s_open();
		(void)!write(pipefd[1], "x", 1);
		w_spin(10000);
		_exit(0);
	}
	t_eq_int(read(pipefd[0], &c, 1), 1);
	usleep(after);
	kill(pid, SIGKILL);
	t_eq_int(waitpid(pid, &status, 0), pid);
	close(pipefd[0]);
	close(pipefd[1]);
}

/* A job that nobody starts: its checkpoints are made by the test. */
static U_UNUSED char *
s_job(int keep_last)
{
	json_t *t = w_job("ok");

	json_object_set_new(t, "hold", json_true());
	json_object_set_new(t, "checkpoint", json_pack("{s:{s:i, s:i}}",
	    "keep", "last", keep_last, "best", 0));
	return w_submit_tree(t);
}

static U_UNUSED struct ckpt *
s_folder(const char *job)
{
	char *dir = xasprintf("%s/jobs/%s", S.state, job);
	char *path = xasprintf("%s/checkpoints", dir);
	struct ckpt *c;

	t_eq_int(rk_mkdirs(dir, 0755), RK_OK);
	t_eq_int(ckpt_open(&c, path, false), RK_OK);
	free(path);
	free(dir);
	return c;
}

/* A checkpoint whose model depends on the step, its optimizer on `optim`. */
static U_UNUSED void
s_save_as(const char *job, int64_t step, uint64_t optim, const char *name)
{
	struct ckpt *c = s_folder(job);
	struct ckpt_info i = info_at(step);
	struct tensor_set *m = tensors((uint64_t)step, 3);
	struct tensor_set *o = tensors(optim, 5);

	memcpy(i.job, job, sizeof(i.job));
	json_object_set_new(i.metrics, "val_loss", json_real(1.0 /
	    (double)step));
	t_eq_int(ckpt_save(c, &i, m, o, name), RK_OK);
	tensor_set_free(m);
	tensor_set_free(o);
	ckpt_info_fini(&i);
	ckpt_close(&c);
	if (S.ship != NULL)
		ship_look(S.ship, job);
}

static U_UNUSED void
s_save(const char *job, int64_t step)
{
	s_save_as(job, step, (uint64_t)step + 1000, NULL);
}

/* A path in the bucket, below the job's checkpoints; valid for a while. */
static U_UNUSED const char *
s_path(const char *job, const char *rest)
{
	static char *v[8];
	static int k;

	k = (k + 1) % 8;
	free(v[k]);
	v[k] = xasprintf("bucket/jobs/%s/checkpoints/%s", job, rest);
	return v[k];
}

static U_UNUSED bool
s_there(const char *job, const char *rest)
{
	return access(s_path(job, rest), F_OK) == 0;
}

static U_UNUSED char *
s_read(const char *path)
{
	char *text = NULL;
	size_t len;

	if (rk_read_file(AT_FDCWD, path, 64 << 20, &text, &len) != RK_OK)
		t_fail("cannot read %s", path);
	return text;
}

static U_UNUSED void
s_holds(const char *path, const char *want)
{
	char *text = s_read(path);

	t_eq_str(text, want);
	free(text);
}

static U_UNUSED void
s_write(const char *path, const char *text)
{
	char *dir = xstrdup(path);

	*strrchr(dir, '/') = '\0';
	t_eq_int(rk_mkdirs(dir, 0755), RK_OK);
	write_file(path, text);
	free(dir);
}

/* A path below the job's folder, on our own disk, is not there any more. */
static U_UNUSED void
s_lose(const char *job, const char *rest)
{
	char *path = xasprintf("%s/jobs/%s/%s", S.state, job, rest);

	t_eq_int(rk_remove_tree(AT_FDCWD, path), RK_OK);
	free(path);
}

/* A file is where the bucket should be: nothing works. */
static U_UNUSED void
s_bucket_goes(void)
{
	t_eq_int(rename("bucket", "away"), 0);
	write_file("bucket", "");
}

static U_UNUSED void
s_bucket_is_back(void)
{
	t_eq_int(remove("bucket"), 0);
	t_eq_int(rename("away", "bucket"), 0);
}

/* One byte of a file is another one. */
static U_UNUSED void
s_flip(const char *path)
{
	int fd = open(path, O_RDWR);
	char c;

	t_check(fd >= 0 && pread(fd, &c, 1, 100) == 1);
	c ^= 1;
	t_check(pwrite(fd, &c, 1, 100) == 1);
	close(fd);
}

/* "verified", ...: valid until the next call. */
static U_UNUSED const char *
s_state(const char *job, const char *dir)
{
	static char state[32];
	json_t *o = ship_durability(S.ship, job, dir);

	snprintf(state, sizeof(state), "%s", json_string_value(
	    json_object_get(o, "state")));
	json_decref(o);
	return state;
}

static const char *s_want_dir, *s_want_state;

static U_UNUSED bool
s_is_state(struct world *w)
{
	return strcmp(s_state(w->id, s_want_dir), s_want_state) == 0;
}

static U_UNUSED void
s_wait(const char *job, const char *dir, const char *state)
{
	W.id = job;
	s_want_dir = dir;
	s_want_state = state;
	w_until(s_is_state, state);
}

/* "step-000000100": valid for a while. */
static U_UNUSED const char *
s_dir(int64_t step)
{
	static char v[8][CKPT_DIR_MAX];
	static int k;

	k = (k + 1) % 8;
	snprintf(v[k], sizeof(v[k]), "step-%09lld", (long long)step);
	return v[k];
}

/* A checkpoint is made and comes to the bucket. */
static U_UNUSED void
s_push_as(const char *job, int64_t step, uint64_t optim)
{
	s_save_as(job, step, optim, NULL);
	s_wait(job, s_dir(step), "verified");
}

static U_UNUSED void
s_push(const char *job, int64_t step)
{
	s_push_as(job, step, (uint64_t)step + 1000);
}

static U_UNUSED bool
s_sees_dir(void *ctx, const struct remote_row *r)
{
	if (strcmp(r->dir, s_want_dir) == 0)
		*(bool *)ctx = true;
	return true;
}

static U_UNUSED bool
s_is_gone(struct world *w)
{
	bool found = false;

	t_eq_int(store_remotes(w->store, w->id, 0, s_sees_dir, &found),
	    RK_OK);
	return !found;
}

/* Deleted in the bucket, and forgotten. */
static U_UNUSED void
s_wait_gone(const char *job, const char *dir)
{
	W.id = job;
	s_want_dir = dir;
	w_until(s_is_gone, "its end");
}

static U_UNUSED bool
s_is_event(struct world *w)
{
	return strstr(w_events(w->id), s_want_state) != NULL;
}

static U_UNUSED void
s_wait_event(const char *job, const char *part)
{
	W.id = job;
	s_want_state = part;
	w_until(s_is_event, part);
}

static U_UNUSED int
s_count(const char *text, const char *part)
{
	int n = 0;

	while ((text = strstr(text, part)) != NULL) {
		n++;
		text += strlen(part);
	}
	return n;
}

#endif
