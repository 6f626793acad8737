/* The sockets that the API listens on. */
#include "impl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
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
	(void)rk_refuse(why, "cannot listen on %s port %d: %s", a->host,
	    a->port, strerror(errno));
	rk_close(fd);
	return RK_EIO;
}

/* --- the Unix socket ----------------------------------------------------- */

static bool
answers(const struct sockaddr_un *un)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool yes = fd >= 0 && connect(fd, (const struct sockaddr *)un,
	    sizeof(*un)) == 0;

	rk_close(&fd);
	return yes;
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
	if (answers(un))
		return rk_refuse(why, "somebody listens on %s already",
		    un->sun_path);
	if (unlink(un->sun_path) != 0)
		return rk_refuse(why, "cannot replace the old socket %s: %s",
		    un->sun_path, strerror(errno));
	return RK_OK;
}

enum rk_err
listen_unix(const char *path, unsigned mode, int *fd, struct rk_why *why)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	mode_t old;
	bool ok;
	int err;

	*fd = -1;
	if (strlen(path) >= sizeof(un.sun_path))
		return rk_refuse(why, "the path of the socket, %s, is longer "
		    "than the %zu bytes that a socket may have; choose another "
		    "with --socket", path, sizeof(un.sun_path) - 1);
	memcpy(un.sun_path, path, strlen(path) + 1);
	if (make_room(&un, why) != RK_OK)
		return RK_EINVAL;
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	old = umask(0777 & ~mode);
	ok = *fd >= 0 && bind(*fd, (struct sockaddr *)&un, sizeof(un)) == 0 &&
	    listen(*fd, BACKLOG) == 0;
	err = errno;
	umask(old);
	if (ok)
		return RK_OK;
	rk_close(fd);
	return rk_refuse(why, "cannot listen on the socket %s: %s", path,
	    strerror(err));
}
