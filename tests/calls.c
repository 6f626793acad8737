/*
 * calls.so: writes down the system calls of the program that it is loaded into;
 * see tests/unit/u_calls.h.
 */
#include "unit/u_calls.h"

__attribute__((constructor)) static void
begin(void)
{
	const char *to = getenv("RK_CALLS");
	char exe[CALLS_PATH];
	const ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (to == NULL)
		return;
	calls_begin(to);
	exe[n > 0 ? n : 0] = '\0';
	calls_say("begin", exe, "");
}
