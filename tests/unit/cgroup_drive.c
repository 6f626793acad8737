/*
 * What cgroup knows of the machine that it runs on, in one line:
 *
 *	memory BYTES at GROUP, millicpus N, kills N
 *
 * when it is started with --tell (tests/long/limits.py does).
 */
#include "impl.h"
#include "t.h"

static void
tell(FILE *f)
{
	struct cgroup *c = cgroup_open("");
	char *where;
	uint64_t memory = cgroup_memory(c, &where);

	fprintf(f, "memory %llu at %s, millicpus %lld, kills %lld\n",
	    (unsigned long long)memory, where, (long long)cgroup_millicpus(c),
	    (long long)cgroup_oom_kills(c));
	free(where);
	cgroup_close(&c);
}

__attribute__((constructor)) static void
drive_main(int argc, char **argv)
{
	if (argc != 2 || strcmp(argv[1], "--tell") != 0)
		return;
	tell(stdout);
	fflush(stdout);
	_exit(0);
}

T_CASE(what_is_known_of_this_machine_is_a_line)
{
	char *said = NULL;
	size_t n;
	FILE *f = open_memstream(&said, &n);

	tell(f);
	fclose(f);
	t_check(strncmp(said, "memory ", 7) == 0 && said[n - 1] == '\n');
	free(said);
}

T_MAIN
