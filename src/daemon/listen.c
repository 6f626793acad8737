/* The sockets that the API listens on. */
#include "impl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024

union any_addr {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static bool
to_sockaddr(const struct address *a, union any_addr *u, socklen_t *len)
{
	memset(u, 0, sizeof(*u));
	if (a->v6) {
		u->v6.sin6_family = AF_INET6;
		u->v6.sin6_port = htons((uint16_t)a->port);
		*len = sizeof(u->v6);
		return inet_pton(AF_INET6, a->host, &u->v6.sin6_addr) == 1;
	}
	u->v4.sin_family = AF_INET;
	u->v4.sin_port = htons((uint16_t)a->port);
	*len = sizeof(u->v4);
	return inet_pton(AF_INET, a->host, &u->v4.sin_addr) == 1;
}

static bool
is_loopback(const union any_addr *u)
{
	if (u->sa.sa_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&u->v6.sin6_addr);
	return ntohl(u->v4.sin_addr.s_addr) >> 24 == 127;
}

enum rk_err
listen_parse(const char *text, struct address *a, struct rk_why *why)
{
	const char *colon = strrchr(text, ':'), *host = text;
	union any_addr u;
	socklen_t len;
	size_t n;

	*a = (struct address){ 0 };
	if (colon == NULL || colon[1] == '\0' || strlen(colon + 1) > 5 ||
	    strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
	    (a->port = atoi(colon + 1)) > 65535)
		return rk_refuse(why, "\"%s\" is no ADDR:PORT, such as "
		    DEFAULT_LISTEN " or [::1]:7450", text);
	n = (size_t)(colon - text);
	if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
		a->v6 = true;
		host++;
		n -= 2;
	}
	if (n >= sizeof(a->host))
		return rk_refuse(why, "\"%s\" has no address that we know",
		    text);
	memcpy(a->host, host, n);
	if (strcmp(a->host, "localhost") == 0)
		memcpy(a->host, "127.0.0.1", sizeof("127.0.0.1"));
	if (!to_sockaddr(a, &u, &len))
		return rk_refuse(why, "\"%s\" has no address that we know: "
		    "want a number such as 127.0.0.1 or [::1]", text);
	if (!is_loopback(&u))
		return rk_refuse(why, "%s is not a loopback address, and "
		    "without tokens and TLS anybody there could run jobs: use "
		    "127.0.0.1 or [::1], and reach it from elsewhere through "
		    "an SSH tunnel", text);
	return RK_OK;
}

enum rk_err
listen_tcp(struct address *a, int *fd, struct rk_why *why)
{
	union any_addr u;
	socklen_t len;
	int on = 1;

	must(to_sockaddr(a, &u, &len));
	*fd = socket(u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    0);
	if (*fd < 0)
		goto fail;
	(void)setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(*fd, &u.sa, len) != 0 || listen(*fd, BACKLOG) != 0 ||
	    getsockname(*fd, &u.sa, &len) != 0)
		goto fail;
	a->port = ntohs(a->v6 ? u.v6.sin6_port : u.v4.sin_port);
	return RK_OK;

fail:
	(void)rk_refuse(why, "cannot listen on %s port %d: %s%s", a->host,
	    a->port, strerror(errno), errno == EADDRINUSE ? "; another "
	    "--listen will do, or port 0 for any that is free" : "");
	rk_close(fd);
	return RK_EIO;
}

/* --- the Unix socket ----------------------------------------------------- */

#define LOCK_WAIT_MS 5000
#define LOCK_LOOK_MS 20

/*
 * Daemons that make or remove a socket take turns: a lock on its folder, held
 * for a moment, so that none of them removes what another has just bound.  -1:
 * no such lock is to be had; then the checks alone have to do.
 */
static int
lock_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash == NULL ? xstrdup(".") :
	    xasprintf("%.*s", (int)RK_MAX(slash - path, 1), path);
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int64_t end_ms = mono_ms() + LOCK_WAIT_MS;

	free(dir);
	while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK || mono_ms() >= end_ms)
			rk_close(&fd);
		else
			usleep(LOCK_LOOK_MS * 1000);
	}
	return fd;
}

/* Only a socket that refuses is nobody's: one that lets us wait (a full queue,
 * a stopped daemon) or keeps us out is somebody's. */
static bool
is_dead(const struct sockaddr_un *un)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool dead = fd >= 0 && connect(fd, (const struct sockaddr *)un,
	    sizeof(*un)) != 0 && (errno == ECONNREFUSED || errno == ENOENT);

	rk_close(&fd);
	return dead;
}

/* Take away what a killed daemon left; refuse what is somebody's. */
static enum rk_err
make_room(const struct sockaddr_un *un, struct rk_why *why)
{
	struct stat st;

	if (lstat(un->sun_path, &st) != 0)
		return RK_OK;
	if (!S_ISSOCK(st.st_mode))
		return rk_refuse(why, "%s is there and is no socket: it is not "
		    "ours to replace", un->sun_path);
	if (!is_dead(un))
		return rk_refuse(why, "somebody listens on %s already",
		    un->sun_path);
	if (unlink(un->sun_path) != 0 && errno != ENOENT)
		return rk_refuse(why, "cannot replace the old socket %s: %s",
		    un->sun_path, strerror(errno));
	return RK_OK;
}

static enum rk_err
bind_at(const struct sockaddr_un *un, unsigned mode, struct unix_place *place,
    int *fd, struct rk_why *why)
{
	struct stat st;
	mode_t old = umask(0777 & ~mode);
	bool bound = bind(*fd, (const struct sockaddr *)un, sizeof(*un)) == 0;
	int err = errno;

	umask(old);
	if (bound && lstat(un->sun_path, &st) == 0) {
		place->dev = st.st_dev;
		place->ino = st.st_ino;
		place->made = true;
	}
	if (bound && listen(*fd, BACKLOG) == 0)
		return RK_OK;
	if (bound)
		err = errno;
	return rk_refuse(why, "cannot listen on the socket %s: %s",
	    un->sun_path, strerror(err));
}

enum rk_err
listen_unix(const char *path, unsigned mode, struct unix_place *place, int *fd,
    struct rk_why *why)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	*fd = -1;
	*place = (struct unix_place){ .made = false };
	if (strlen(path) >= sizeof(un.sun_path))
		return rk_refuse(why, "the path of the socket, %s, is longer "
		    "than the %zu bytes that a socket may have; choose another "
		    "with --socket", path, sizeof(un.sun_path) - 1);
	memcpy(un.sun_path, path, strlen(path) + 1);
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*fd < 0)
		return rk_refuse(why, "cannot make a Unix socket: %s",
		    strerror(errno));
	int lock = lock_folder(path);
	enum rk_err rc = make_room(&un, why);
	if (rc == RK_OK)
		rc = bind_at(&un, mode, place, fd, why);
	rk_close(&lock);
	if (rc != RK_OK) {
		listen_unix_remove(path, place);
		rk_close(fd);
	}
	return rc;
}

void
listen_unix_remove(const char *path, struct unix_place *place)
{
	struct stat st;

	if (!place->made)
		return;
	place->made = false;
	int lock = lock_folder(path);
	if (lstat(path, &st) == 0 && st.st_dev == place->dev &&
	    st.st_ino == place->ino)
		(void)unlink(path);
	else
		log_info("daemon: %s is no more the socket that this daemon "
		    "made, and stays", path);
	rk_close(&lock);
}
