/*
 * Signals while oneDNN's compiled code has the stack pointer.  The handler here
 * stands for any that this process may get from others: a profiler, a tracer, a
 * preloaded library.  It knows nothing of alternate stacks.
 */
#include <dirent.h>
#include <sys/mman.h>

#include "train_help.h"

#define WIDE                                                              \
	"name: wide\n"                                                    \
	"resources: {threads: 1, memory: 1GiB}\n"                         \
	"model: {arch: mlp, sizes: [5, 1500, 1500, 3]}\n"                 \
	"training: {epochs: 30, batch_size: 16, seed: 3, "                \
	"optimizer: {type: sgd, learning_rate: 0.01}}\n"                  \
	"data: {train: {type: csv, path: train.csv, label: -1}}\n"        \
	"checkpoint: {every: {steps: 1000000}}\n"
#define LAST "checkpoints/step-000000420"

static _Atomic int *handled;

static void
write_wide(void)
{
	write_file("job.yaml", WIDE);
	write_csv("train.csv", 224, 5, 3);
}

/* The step of the newest checkpoint in r; 0: none. */
static long
newest(void)
{
	DIR *d = opendir("r/checkpoints");
	long step = 0;

	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
		if (strncmp(e->d_name, "step-", 5) == 0)
			step = RK_MAX(step, atol(e->d_name + 5));
	}
	if (d != NULL)
		closedir(d);
	return step;
}

static void
wait_for_step(long step)
{
	const int64_t end_ms = mono_ms() + 1000 * (int64_t)t_limit(30);

	while (newest() < step) {
		if (mono_ms() > end_ms)
			t_fail("step %ld never came", step);
		usleep(10000);
	}
}

static void
foreign_handler(int sig)
{
	volatile char use[2048];

	(void)sig;
	for (size_t i = 0; i < sizeof(use); i++)
		use[i] = 0x55;
	++*handled;
}

static void
flood(const char *dir, const char *threads)
{
	int st = 0, code;

	*handled = 0;
	pid_t p = start(-1, (const char *const[]){ "--run-dir", dir,
	    "--threads", threads, "job.yaml", NULL });
	while (waitpid(p, &st, WNOHANG) == 0) {
		kill(p, SIGUSR1);
		usleep(50);
	}
	if (WIFSIGNALED(st))
		t_fail("the trainer died of signal %d after %d signals: %s",
		    WTERMSIG(st), *handled, read_text("err"));
	code = WEXITSTATUS(st);
	t_eq_int(code, 0);
	if (*handled < 1000)
		t_fail("only %d signals were handled", *handled);
}

T_CASE(thousands_of_signals_change_no_byte_of_wide_layers)
{
	struct sigaction a = { .sa_handler = foreign_handler,
		.sa_flags = SA_RESTART };

	handled = mmap(NULL, sizeof(*handled), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	t_check(handled != MAP_FAILED);
	t_check(setenv("REKINDLE_GEMM", "onednn", 1) == 0);
	write_wide();
	train_ok("--run-dir", "calm", "job.yaml");
	t_check(sigaction(SIGUSR1, &a, NULL) == 0);
	flood("one", "1");
	flood("two", "2");
	same_checkpoint("calm/" LAST, "one/" LAST);
	same_checkpoint("calm/" LAST, "two/" LAST);
}

/* What /proc/PID/task/TID/status says of one. */
struct thread_status {
	char name[64];
	unsigned long long blocked, caught;
};

static struct thread_status
status_of(const char *dir, const char *tid)
{
	struct thread_status st = { .name = "?" };
	char line[256];
	char *path = xasprintf("%s/%s/status", dir, tid);
	FILE *f = fopen(path, "r");

	free(path);
	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		(void)!sscanf(line, "Name: %63s", st.name);
		(void)!sscanf(line, "SigBlk: %llx", &st.blocked);
		(void)!sscanf(line, "SigCgt: %llx", &st.caught);
	}
	if (f != NULL)
		fclose(f);
	return st;
}

/* How many threads there are; each but the one that waits has all of `mask`
 * blocked, and none of it has a handler. */
static int
look_at_threads(pid_t p, unsigned long long mask)
{
	char *dir = xasprintf("/proc/%d/task", (int)p);
	DIR *d = opendir(dir);
	int n = 0, waiting = 0;

	t_check(d != NULL);
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		if (e->d_name[0] == '.')
			continue;
		struct thread_status st = status_of(dir, e->d_name);
		bool waits = strcmp(st.name, "rk-signals") == 0;
		if (!waits && (mask & ~st.blocked) != 0)
			t_fail("%s takes signals %llx", st.name,
			    mask & ~st.blocked);
		if ((mask & st.caught) != 0)
			t_fail("signals %llx have a handler",
			    mask & st.caught);
		waiting += waits;
		n++;
	}
	closedir(d);
	free(dir);
	t_eq_int(waiting, 1);
	return n;
}

T_CASE(no_thread_takes_signals_but_the_one_that_waits_for_them)
{
	unsigned long long all = 0;
	sigset_t set;

	rk_signals_that_wait(&set);
	for (int sig = 1; sig < 64; sig++) {
		if (sigismember(&set, sig) == 1 && sig != SIGKILL &&
		    sig != SIGSTOP)
			all |= 1ull << (sig - 1);
	}
	write_wide();
	pid_t p = start(-1, (const char *const[]){ "--run-dir", "r",
	    "--threads", "3", "--set", "training.epochs=100000", "--set",
	    "checkpoint.every.steps=1", "job.yaml", NULL });
	wait_for_step(1);
	/* Main, two of the team, the checkpoint's writer, the one that waits. */
	t_check(look_at_threads(p, all) >= 5);
	kill(p, SIGTERM);
	t_eq_int(finish(p), 0);
}

T_CASE(signals_that_come_together_are_one_wish)
{
	write_wide();
	pid_t p = start(-1, (const char *const[]){ "--run-dir", "r", "--set",
	    "training.epochs=100000", "--set", "checkpoint.every.steps=5",
	    "job.yaml", NULL });
	wait_for_step(5);
	/* As timeout(1), a closing terminal and systemd do; stopped, so that
	 * a busy machine does not come between them. */
	kill(p, SIGSTOP);
	kill(p, SIGTERM);
	kill(p, SIGHUP);
	kill(p, SIGINT);
	kill(p, SIGCONT);
	t_eq_int(finish(p), 0);
	file_has("out", "stopped at step ");
}

T_CASE(a_signal_that_was_ignored_from_the_start_stays_so)
{
	write_wide();
	t_check(signal(SIGHUP, SIG_IGN) != SIG_ERR);    /* nohup(1) */
	pid_t p = start(-1, (const char *const[]){ "--run-dir", "r", "--set",
	    "training.epochs=100000", "--set", "checkpoint.every.steps=1",
	    "--set", "checkpoint.keep.last=1", "job.yaml", NULL });
	wait_for_step(1);
	kill(p, SIGHUP);
	wait_for_step(newest() + 5);
	t_check(kill(p, 0) == 0);
	t_eq_int(waitpid(p, NULL, WNOHANG), 0);
	kill(p, SIGTERM);
	t_eq_int(finish(p), 0);
}

T_CASE(a_second_signal_ends_at_once_whatever_the_main_thread_does)
{
	int fd[2];
	char hello[4096];

	write_wide();
	t_check(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0);
	pid_t p = start(fd[1], (const char *const[]){ "--wire", "--run-dir",
	    "r", "job.yaml", NULL });
	close(fd[1]);
	t_check(read(fd[0], hello, sizeof(hello)) > 0);
	/* The daemon's hello does not come: it waits for that. */
	int st = 0;
	while (waitpid(p, &st, WNOHANG) == 0) {
		kill(p, SIGTERM);
		usleep(100000);
	}
	t_check(WIFEXITED(st));
	t_eq_int(WEXITSTATUS(st), TRAIN_FAILED);
	char *err = read_text("err");
	if (strstr(err, "no hello") != NULL)
		t_fail("it waited to the end: %s", err);
	free(err);
	close(fd[0]);
}

T_MAIN
