/* rekindle-train: see rekindle/train.h. */
#include <stdlib.h>

#include "rekindle/inspect.h"
#include "rekindle/train.h"

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
}
static void (*const before_constructors)(int, char **, char **)
    __attribute__((section(".preinit_array"), used)) = first_of_all;

static int
inspect(const struct train_options *o)
{
	const struct inspect_show show = {
		.how = { .member = o->member, .part = o->part },
		.table = o->table, .statistics = o->statistics,
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
	} else if (o.inspect) {
		code = inspect(&o);
	} else {
		code = train_main(&o);
	}
	rk_why_fini(&why);
	train_options_fini(&o);
	return code;
}
