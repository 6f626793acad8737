/* Programs that print keys, and mean no good: none holds up those who wait for
 * it, nor keeps the machine busy. */
#include <sys/stat.h>

#include "cred.h"
#include "t.h"

static struct loop *l;
static struct http *h;

/* The default profile of a home of its own has the program. */
static struct creds *
creds_of(const char *program)
{
	FILE *f;

	t_eq_int(loop_open(&l), RK_OK);
	t_eq_int(http_open(&h, l, &(struct http_config){0}), RK_OK);
	t_check((f = fopen("program", "w")) != NULL);
	fprintf(f, "#!/bin/sh\necho x >> runs\n%s\n", program);
	fclose(f);
	t_check(chmod("program", 0700) == 0);
	t_check((f = fopen("config", "w")) != NULL);
	fprintf(f, "[default]\ncredential_process = ./program\n");
	fclose(f);
	setenv("AWS_CONFIG_FILE", "config", 1);
	setenv("AWS_SHARED_CREDENTIALS_FILE", "none", 1);
	unsetenv("AWS_PROFILE");
	unsetenv("AWS_DEFAULT_PROFILE");
	return creds_open(l, h, &(struct creds_config){ .kind = CRED_PROFILE });
}

static void
close_all(struct creds **cs)
{
	creds_close(cs);
	http_close(&h);
	loop_close(&l);
}

static int answers;
static char said[512];

static void
on_keys(void *ctx, struct cred *c, const char *why)
{
	(void)ctx;
	answers++;
	snprintf(said, sizeof(said), "%s", c != NULL ? c->id : why);
	cred_unref(&c);
}

static void
nap(void *ctx)
{
	loop_stop(ctx);
}

static void
run_for(int64_t ms)
{
	struct loop_timer *t = loop_timer_add(l, nap, l);

	loop_timer_at(t, mono_ms() + ms);
	loop_run(l);
	loop_timer_del(&t);
}

/* Until so many have been answered. */
static void
run_until(int n)
{
	for (int i = 0; i < 500 && answers < n; i++)
		run_for(20);
	t_eq_int(answers, n);
}

static int
runs(void)
{
	struct stat st;

	return stat("runs", &st) == 0 ? (int)st.st_size / 2 : 0;
}

T_CASE(a_program_that_left_its_group_is_not_waited_for_and_another_is_run)
{
	/* As one does that became another user's, and cannot be killed. */
	struct creds *cs = creds_of("exec python3 -c 'import os, time\n"
	    "os.setpgid(0, os.getpgid(os.getppid()))\n"
	    "open(\"pid\", \"w\").write(str(os.getpid()))\n"
	    "time.sleep(60)'");
	cred_process_ms = 1500;
	creds_get(cs, on_keys, &cs);
	creds_get(cs, on_keys, &cs);
	run_until(2);
	t_has(said, "credential_process: it took longer than 1 s");
	t_eq_int(runs(), 1);
	FILE *f = fopen("pid", "r");
	int pid = 0;
	t_check(f != NULL && fscanf(f, "%d", &pid) == 1);
	fclose(f);
	for (int i = 0; i < 100 && kill(pid, 0) == 0; i++)
		run_for(20);
	t_check(kill(pid, 0) != 0);
	run_for(2000);                  /* a failure is believed so long */
	creds_get(cs, on_keys, &cs);
	run_until(3);
	t_eq_int(runs(), 2);
	close_all(&cs);
}

T_CASE(a_source_that_is_closed_while_its_program_is_killed_says_nothing)
{
	struct creds *cs = creds_of("sleep 60");
	cred_process_ms = 200;
	creds_get(cs, on_keys, &cs);
	run_for(100);
	creds_close(&cs);
	run_for(200);
	t_eq_int(answers, 0);
	close_all(&cs);
}

T_CASE(keys_that_live_but_for_a_moment_are_not_fetched_all_the_time)
{
	struct creds *cs = creds_of("echo \"{\\\"Version\\\": 1, "
	    "\\\"AccessKeyId\\\": \\\"BRIEF\\\", "
	    "\\\"SecretAccessKey\\\": \\\"S\\\", "
	    "\\\"Expiration\\\": \\\"$(date -u -d '+0.1 seconds' "
	    "+%Y-%m-%dT%H:%M:%S.%NZ)\\\"}\"");
	creds_get(cs, on_keys, &cs);
	run_until(1);
	t_eq_str(said, "BRIEF");
	run_for(2500);
	t_check(runs() >= 2);
	t_check(runs() <= 4);
	close_all(&cs);
}

T_MAIN
