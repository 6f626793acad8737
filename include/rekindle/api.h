/*
 * api - the REST interface: jobs, checkpoints, metrics, logs and events over
 * HTTP/1.1, the probes, the Prometheus page and the OpenAPI document.
 *
 * libmicrohttpd without threads of its own runs in the daemon's loop, once for
 * the TCP socket and once for the Unix socket.  Everything happens on the
 * loop's thread.  A request that has to wait (a checkpoint asked for now, a
 * stream with nothing to say) is suspended and costs no time; a slow reader
 * costs one chunk of memory and holds nobody up.
 *
 * What is served where is one table, src/api/table.c; /openapi.json is made
 * from it.  Every refusal is application/problem+json.
 *
 * Who may come in.  There are no tokens yet, so the door is the kernel's:
 * loopback, or the Unix socket's mode.  A web page in somebody's browser comes
 * from loopback too; so the Host must be ours (no DNS rebinding), an Origin
 * must be ours, and what changes something needs a Content-Type that a plain
 * form cannot send.
 */
#ifndef REKINDLE_API_H
#define REKINDLE_API_H

#include "rekindle/loop.h"
#include "rekindle/models.h"
#include "rekindle/preempt.h"

struct api;

struct api_config {
	int tcp_fd;             /* listening sockets, non-blocking; -1: none. */
	int unix_fd;            /* api_open() owns both once it has succeeded */
	const char *tcp_host;   /* the address as text, without brackets */
	int tcp_port;
	size_t body_limit;      /* bytes of a request's body */
	size_t header_limit;    /* bytes of its line and headers, and what one
	                           connection may take of memory */
	int connections;        /* on each socket; more wait in the backlog */
	int streams;            /* of these at most so many follow something */
	int descriptors;        /* connections on both sockets together; one
	                           socket leaves an eighth to the other.  16 or
	                           more.  A stream of a file takes one more,
	                           which is not counted here */
	int64_t idle_timeout_ms;        /* of a connection, half a request */
	int64_t heartbeat_ms;   /* a comment on a stream that has been silent */
};

/* What it shows and asks; mirror may be NULL, the others must outlive it. */
struct api_parts {
	struct store *store;
	struct sup *sup;
	struct remote *remote;
	struct ship *ship;
	struct mirror *mirror;
	struct models *models;
	struct preempt *preempt;
};

/*
 * Serve from now on.  Takes the loop's hook and the supervisor's listener.
 * RK_EIO: libmicrohttpd would not start; why has the sentence.
 */
enum rk_err api_open(struct api **ap, struct loop *l,
    const struct api_parts *p, const struct api_config *c, struct rk_why *why)
    RK_MUSTCHECK;

/*
 * All jobs are where this daemon leaves them.  Who looks at a job again and
 * again, and says so (the header Rekindle-Watch), should hear of that before
 * the daemon is gone: api_untold() is how many have not looked since this call.
 */
void api_last_words(struct api *a);
int api_untold(const struct api *a);

/* Answer nobody any more, close the sockets; *ap becomes NULL.  NULL inside is
 * fine.  The store and the supervisor must still be open. */
void api_close(struct api **ap);

#endif
