/*
 * Whose a call of malloc is.  oneDNN is C++, and keeps the arguments of each of
 * its primitives in a map while it runs: what it asks for there it gives back
 * before the call ends.  Which convolutions are oneDNN's depends on the
 * processor, so that such calls are none of a step's.
 */
#ifndef U_MALLOCS_H
#define U_MALLOCS_H

#include <dlfcn.h>
#include <stdbool.h>
#include <string.h>

/* caller: __builtin_return_address(0) of what took malloc's place. */
static bool
is_onednns(const void *caller)
{
	Dl_info i;

	return dladdr(caller, &i) != 0 && i.dli_fname != NULL &&
	    (strstr(i.dli_fname, "libstdc++") != NULL ||
	    strstr(i.dli_fname, "libdnnl") != NULL);
}

#endif
