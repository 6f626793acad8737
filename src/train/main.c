/* rekindle-train: see rekindle/train.h. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "rekindle/inspect.h"
#include "rekindle/kernel.h"
#include "rekindle/train.h"

/*
 * What the libraries need to begin.  OpenBLAS asks for its buffers in its
 * constructor until there are some: with less address space than that (350 MiB
 * of ours in all, by trial) it never ends, and hears no signal.  With a stack
 * of less than 100 KiB their code crashes, or says that data are wrong.
 */
static const struct {
	int limit;
	rlim_t least;
	const char *what, *option;
} needs[] = {
	{ RLIMIT_AS, (rlim_t)512 << 20, "address space", "-v" },
	{ RLIMIT_STACK, (rlim_t)256 << 10, "stack", "-s" },
};

static void
check_limits(void)
{
	char text[200];
	struct rlimit is;

	for (size_t i = 0; i < RK_ARRAY_LEN(needs); i++) {
		if (getrlimit((__rlimit_resource_t)needs[i].limit, &is) != 0 ||
		    is.rlim_cur >= needs[i].least)
			continue;
		snprintf(text, sizeof(text), "rekindle-train: the limit of %s "
		    "(ulimit %s) is %llu KiB, and the libraries need %llu KiB "
		    "at least\n", needs[i].what, needs[i].option,
		    (unsigned long long)is.rlim_cur >> 10,
		    (unsigned long long)needs[i].least >> 10);
		(void)!write(STDERR_FILENO, text, strlen(text));
		_exit(TRAIN_FAILED);
	}
}

/*
 * A library may start threads in its constructor (OpenBLAS with pthreads does),
 * and these would take signals that are not theirs.  What is in this section
 * runs before any constructor.
 */
static void
first_of_all(int argc, char **argv, char **envp)
{
	(void)argc;
	(void)argv;
	(void)envp;
	train_hold_signals();
	check_limits();
}
static void (*const before_constructors)(int, char **, char **)
    __attribute__((section(".preinit_array"), used)) = first_of_all;

static int
inspect(const struct train_options *o)
{
	const struct inspect_show show = {
		.how = { .member = o->member, .part = o->part },
		.table = o->table, .statistics = o->statistics,
		.places = (char *const *)(uintptr_t)o->file,
		.nplaces = o->nfile,
	};

	if (o->wire)
		return inspect_serve(o->ninput, o->input);
	return o->diff ? inspect_diff(&show, o->input) : inspect_show(&show, o->ninput, o->input);
}

int
main(int argc, char **argv)
{
	struct train_options o = {0};
	struct rk_why why = {0};
	int code;

	if (train_options_parse(&o, argc, argv, &why) != RK_OK) {
		fprintf(stderr, "rekindle-train: %s\n"
		    "rekindle-train --help shows the options\n",
		    rk_why_first(&why));
		code = TRAIN_USAGE;
	} else if (o.help) {
		fputs(train_usage, stdout);
		code = 0;
	} else if (o.version) {
		puts("rekindle-train " REKINDLE_VERSION);
		code = 0;
	} else if (!o.wire && kernel_word_refusal() != NULL) {
		fprintf(stderr, "rekindle-train: %s\n", kernel_word_refusal());
		code = TRAIN_USAGE;
	} else if (o.inspect) {
		code = inspect(&o);
	} else {
		code = train_main(&o);
	}
	rk_why_fini(&why);
	train_options_fini(&o);
	return code;
}
