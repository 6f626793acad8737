/*
 * http - requests over libcurl: many at once for the daemon, one at a time for
 * the command line.
 *
 * An engine has one thread that does nothing but move bytes: it reads bodies
 * from memory or from a file's range with pread(), writes answers to memory or
 * to a file's range with pwrite(), and hands the result to the loop.  Every
 * call of this page comes from the loop's thread, and `done` runs there, so
 * callers need no locks.  Nothing is retried, followed, signed or decoded here:
 * the URL goes out as it is written (no dot segments removed), redirects come
 * back as answers, and only http and https are spoken.  One exception: when a
 * kept connection ends before a byte of an answer, the request goes out once
 * more over a fresh one, as HTTP clients do (RFC 9112, section 9.3.1).
 *
 * Proxies are those of the environment (http_proxy, https_proxy, no_proxy)
 * unless a request says `no_proxy`.
 */
#ifndef REKINDLE_HTTP_H
#define REKINDLE_HTTP_H

#include "rekindle/loop.h"

struct http;
struct http_call;

struct http_config {
	int connections;        /* open at once; 0: 32 */
	int per_host;           /* of these to one host; 0: 16 */
	uint64_t up_rate, down_rate;    /* bytes a second over all `metered`
	                           calls together; 0: no limit */
};

enum rk_err http_open(struct http **hp, struct loop *l,
    const struct http_config *c) RK_MUSTCHECK;
/* Ends the thread; calls that were under way are dropped without `done`. */
void http_close(struct http **hp);
void http_rates(struct http *h, uint64_t up, uint64_t down);

/* How a call ended, as far as HTTP goes; any status is HTTP_ANSWERED. */
enum http_end {
	HTTP_ANSWERED,
	HTTP_NO_HOST,           /* the name cannot be resolved */
	HTTP_NO_CONNECTION,     /* refused, unreachable, or not in connect_ms */
	HTTP_NO_TRUST,          /* TLS: the peer or the CA file; permanent */
	HTTP_NO_TLS,            /* TLS: the handshake broke */
	HTTP_BROKEN,            /* cut, reset, empty or malformed answer */
	HTTP_STALLED,           /* slower than `slow` for slow_ms; total_ms */
	HTTP_TOO_LONG,          /* the answer, than `max` or the sink */
	HTTP_DISK,              /* the source or the sink; `err` says how */
	HTTP_BAD_REQUEST,       /* the URL or a header; permanent */
	HTTP_CANCELLED,
};

struct http_answer {
	enum http_end end;
	enum rk_err err;        /* of HTTP_DISK: RK_ENOSPC, RK_EIO */
	const char *error;      /* a sentence for people, "" when answered */
	int status;             /* 0 if no status line came */
	bool resent;            /* a kept connection ended without an answer:
	                           it went out twice, and may have had its
	                           effect the first time */
	const char *body;       /* what was kept in memory, NUL behind it */
	size_t len;
	uint64_t sent;          /* bytes of our body that went out */
	uint64_t sunk;          /* bytes that went to the sink */
	int64_t ms;             /* from the start to the end */
	const void *headers;    /* for http_header() */
};
/* The value of a header of the last answer (100s left out), or NULL. */
const char *http_header(const struct http_answer *a, const char *name);

typedef void http_done_fn(void *ctx, const struct http_answer *a);

struct http_request {
	const char *method;             /* GET, PUT, POST, HEAD, DELETE */
	const char *url;
	const char *const *headers;     /* "Name: value", then NULL; a name and
	                                   a colon alone removes libcurl's.
	                                   Bodies over 1 MiB go out behind an
	                                   Expect: 100-continue, unless that
	                                   is removed */
	/* What goes out: bytes (copied), or size bytes of a file from `at`
	 * (the descriptor is duplicated). */
	const void *body;
	size_t body_len;
	int body_fd;                    /* -1: none */
	uint64_t body_at, body_size;
	/* Where the body of an answer with status sink_status goes; others are
	 * kept in memory.  The descriptor is duplicated. */
	int sink_fd;                    /* -1: memory */
	int sink_status;                /* 200 or 206 */
	uint64_t sink_at, sink_size;    /* more than that is HTTP_TOO_LONG */
	size_t max;                     /* kept in memory at most; 0: 64 KiB */
	int64_t connect_ms;             /* 0: 10 s */
	int64_t total_ms;               /* 0: no limit */
	int64_t slow_ms;                /* 0: no rule */
	int64_t slow;                   /* bytes a second */
	const char *ca_file;            /* NULL: the system's */
	const char *resolve;            /* "host:port:address" or NULL */
	const char *unix_socket;        /* or NULL */
	bool no_proxy, fresh, metered;  /* fresh: a new connection */
	bool strange;                   /* a stranger's URL: not to a metadata
	                                   service, however it is written; ends
	                                   as HTTP_BAD_REQUEST */
	http_done_fn *done;
	void *ctx;
};
/* Everything a request points to is copied.  `done` is called exactly once,
 * never from within this call. */
struct http_call *http_send(struct http *h, const struct http_request *r);
/* `done` is not called any more, if it was not yet; the call is gone.  The
 * request may all the same have had its effect. */
void http_cancel(struct http_call **c);
/* Bytes moved so far, either way. */
void http_moved(const struct http_call *c, uint64_t *sent, uint64_t *sunk);

/* Is this numeric address, as it was connected to, one where a cloud hands out
 * secrets to whoever asks?  Link-local ones, and those that it has besides. */
bool http_is_metadata(const char *ip);
/* The same of the host of a URL, if it is a number however written, or one of
 * the names that clouds give to such a service: a proxy resolves for us. */
bool http_leads_to_metadata(const char *url);

/* --- for the command line: no engine, no loop ----------------------------- */

/* Perform r in this thread; `done` is called before the return.  chunk (may be
 * NULL) gets an answer of status 200 piece by piece instead of memory; false
 * from it ends the call as HTTP_CANCELLED.  Connections are kept between
 * calls. */
typedef bool http_chunk_fn(void *ctx, const char *p, size_t n);
void http_now(const struct http_request *r, http_chunk_fn *chunk, void *cctx);

#endif
