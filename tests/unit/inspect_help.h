/* The process that reads a stranger's file is the program that runs, which is the
 * test: with --inspect it serves.  A test that did not would run all its cases
 * again, each of which may start it. */
#ifndef INSPECT_HELP_H
#define INSPECT_HELP_H

#include "rekindle/inspect.h"
#include "t.h"

#ifndef INSPECT_SERVE
#define INSPECT_SERVE inspect_serve
#endif

__attribute__((constructor)) static void
serve_instead(int argc, char **argv)
{
	if (argc > 4 && strcmp(argv[1], "--inspect") == 0)
		_exit(INSPECT_SERVE(argc - 4, argv + 4));
}

#endif
