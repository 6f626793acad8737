/*
 * Starting the process that reads.
 *
 * posix_spawn() of the program that we are, so that it has nothing of our
 * memory and none of our descriptors but those that it is given; of our
 * environment it gets what its libraries need to be found, and sanitizers their
 * options.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "impl.h"
#include "start.h"

#define SELF     "/proc/self/exe"
#define INSIDE   "REKINDLE_INSPECT"     /* set for a process that reads */
#define ENV_MOST 16

extern char **environ;

/* A name, or the beginning of names when it ends in '_'. */
static const char *const env_kept[] = {
	"LD_LIBRARY_PATH", "ASAN_", "UBSAN_", "LSAN_",
};

static void
make_env(char *env[ENV_MOST])
{
	/* It never has work for more than one. */
	static char one_thread[] = "OMP_NUM_THREADS=1", inside[] = INSIDE "=1";
	int n = 0;

	env[n++] = one_thread;
	env[n++] = inside;
	for (char **e = environ; e != NULL && *e != NULL; e++)
		for (size_t k = 0; k < RK_ARRAY_LEN(env_kept); k++) {
			const size_t len = strlen(env_kept[k]);
			if (n < ENV_MOST - 1 && strncmp(*e, env_kept[k],
			    len) == 0 && ((*e)[len] == '=' ||
			    env_kept[k][len - 1] == '_'))
				env[n++] = *e;
		}
	env[n] = NULL;
}

/* Above those that the process is given, so that none is in another's place. */
static int
out_of_the_way(int fd)
{
	const int to = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, INSPECT_NEXT_FD) :
	    -1;

	rk_close(&fd);
	return to;
}

static int
make_actions(posix_spawn_file_actions_t *fa, int socket, int window, int file)
{
	const int given[][2] = { { socket, INSPECT_SOCKET_FD },
		{ window, INSPECT_WINDOW_FD }, { file, INSPECT_FILE_FD } };
	int e = 0;

	/* Its own words would be a stranger's.  A sanitizer's are ours. */
	for (int fd = 0; e == 0 && fd < (RK_SANITIZED ? 2 : 3); fd++)
		e = posix_spawn_file_actions_addopen(fa, fd, "/dev/null",
		    O_RDWR, 0);
	for (size_t i = 0; e == 0 && i < RK_ARRAY_LEN(given); i++)
		e = posix_spawn_file_actions_adddup2(fa, given[i][0],
		    given[i][1]);
	return e != 0 ? e : posix_spawn_file_actions_addclosefrom_np(fa,
	    INSPECT_NEXT_FD);
}

static int
spawn_it(struct inspect *i, const char *name, const struct inspect_how *how,
    int socket, int window, int file)
{
	char *part = how->part != NULL ? xasprintf("=%s", how->part) :
	    xstrdup("");
	const char *argv[] = { "rekindle-train", "--inspect", "--wire", "--",
		name, how->member != NULL ? how->member : "", part,
		how->sha256 != NULL ? how->sha256 : "", NULL };
	posix_spawn_file_actions_t fa;
	char *env[ENV_MOST];

	make_env(env);
	posix_spawn_file_actions_init(&fa);
	int e = make_actions(&fa, socket, window, file);
	if (e == 0)
		e = posix_spawn(&i->pid, SELF, &fa, NULL,
		    (char *const *)(uintptr_t)argv, env);
	posix_spawn_file_actions_destroy(&fa);
	free(part);
	if (e != 0)
		i->pid = 0;
	return e;
}

/* Memory whose size nobody can change, mapped: the process may not take it away
 * under us (a SIGBUS). */
static int
make_window(struct inspect *i)
{
	int fd = memfd_create("inspect", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)INSPECT_WINDOW) != 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW |
	    F_SEAL_SEAL) != 0)
		goto fail;
	i->window = mmap(NULL, INSPECT_WINDOW, PROT_READ, MAP_SHARED, fd, 0);
	if (i->window != MAP_FAILED)
		return out_of_the_way(fd);
fail:
	i->window = NULL;
	rk_close(&fd);
	return -1;
}

enum rk_err
inspect_start(struct inspect *i, const char *name,
    const struct inspect_how *how, int file, struct rk_why *why)
{
	int pair[2] = { -1, -1 }, window = make_window(i), e = 0;

	/* A program that does not serve when it is told to would start itself
	 * again, and so would that one. */
	if (getenv(INSIDE) != NULL)
		e = ELOOP;
	else if (window < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
	    pair) != 0)
		e = errno;
	i->socket = out_of_the_way(pair[0]);
	pair[1] = out_of_the_way(pair[1]);
	file = out_of_the_way(file);
	if (e == 0 && (i->socket < 0 || pair[1] < 0 || file < 0))
		e = errno;
	if (e == 0)
		e = spawn_it(i, name, how, pair[1], window, file);
	rk_close(&pair[1]);
	rk_close(&window);
	rk_close(&file);
	if (e == 0)
		return RK_OK;
	rk_refuse(why, "cannot start the process that reads it: %s",
	    strerror(e));
	return rk_from_errno(e);
}
