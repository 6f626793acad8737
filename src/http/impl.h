/*
 * http from inside.
 *
 *	engine.c   the thread and its queues; what the loop calls
 *	call.c     one call: its copy of the request, its end
 *	easy.c     the libcurl handle of a call: options and callbacks
 *	metadata.c where a stranger's URL must not lead
 *	rate.c     limits shared by metered calls
 *	now.c      one call without an engine
 *
 * A call is on exactly one list: `incoming` and `finished` are shared and under
 * the lock, `waiting` and `active` are the engine's alone, `delivering` the
 * loop's.  Only the list's owner frees it.
 */
#ifndef HTTP_IMPL_H
#define HTTP_IMPL_H

#include <curl/curl.h>
#include <pthread.h>
#include <sys/queue.h>

#include "rekindle/http.h"

#define HTTP_TAG      0x68747470u
#define HTTP_CALL_TAG 0x68747463u

#define BODY_MAX      (64u << 10)       /* kept in memory unless said */
#define HEADERS_MAX   (64u << 10)
#define BUFFER_MIN    (16u << 10)       /* of libcurl, for each direction */
#define BUFFER_MAX    (512u << 10)
#define GATHER        (256u << 10)      /* written to a sink at a time */
#define AT_ONCE       (1u << 20)        /* bodies that are sent unasked */
#define CONNECT_MS    10000
#define KEEP_S        60                /* a connection, used or not */

/* --- rate.c ------------------------------------------------------------ */

/* Bytes that may move now; below zero: they were lent. */
struct bucket {
	uint64_t rate;          /* bytes a second; 0: no limit */
	int64_t tokens;
	int64_t at_ns;          /* when they were last counted */
};
void bucket_set(struct bucket *b, uint64_t rate, int64_t now_ns);
void bucket_fill(struct bucket *b, int64_t now_ns);
/* How much of `want` may go now; 0: wait.  bucket_took() says what went. */
size_t bucket_some(const struct bucket *b, size_t want);
void bucket_took(struct bucket *b, size_t n);
/* Milliseconds until there is something worth waking up for. */
int64_t bucket_wait_ms(const struct bucket *b);

/* --- a call ------------------------------------------------------------ */

TAILQ_HEAD(calls, http_call);

struct http_call {
	unsigned tag;
	struct http *h;                 /* NULL: http_now() */
	TAILQ_ENTRY(http_call) link;
	http_done_fn *done;
	void *ctx;

	/* The request, copied; r's pointers point here. */
	struct http_request r;
	char *host;                     /* what per_host counts by */
	struct curl_slist *headers, *resolve;
	http_chunk_fn *chunk;
	void *chunk_ctx;

	/* While it runs: the engine's. */
	CURL *easy;
	char curl_says[CURL_ERROR_SIZE];
	uint64_t read_at;               /* of the body, what was handed out */
	struct strbuf got_headers;      /* "name" NUL "value" NUL ... */
	struct strbuf body;
	char *gather;                   /* of the sink, not yet written */
	size_t gathered;
	int status;
	bool body_begun, connected, failed;
	bool wants_up, wants_down;      /* paused by the rate */
	bool again;                     /* for the second time */
	int64_t begun_ms;
	int64_t brisk_ms;               /* when it was last fast enough */
	int64_t looked_ms;              /* when that was last looked at, */
	uint64_t looked_at;             /* and `moved` then */
	struct http_answer answer;
	char *sentence;

	/* Of both threads.  `io` is held while the sink is written, so that
	 * nothing is after a cancel. */
	pthread_mutex_t io;
	bool cancel;
	uint64_t sent, sunk, moved;
};

struct http_call *call_new(const struct http_request *r);
void call_free(struct http_call *c);
/* It ended so, which stands if it is the first to say so. */
void call_fail(struct http_call *c, enum http_end end, enum rk_err err,
    const char *fmt, ...) RK_PRINTF(4, 5);
/* A kept connection was closed by the peer before a byte of the answer came:
 * the request goes out once more, over a fresh one.  libcurl does so itself
 * unless it was sending. */
bool call_again(struct http_call *c, CURLcode rc);
/* libcurl is through with it: fill in the answer. */
void call_end(struct http_call *c, CURLcode rc);
bool call_cancelled(const struct http_call *c);

/* Make and give back the handle.  false: the call has failed. */
bool easy_open(struct http_call *c, CURL *handle);
/* Write what was gathered for the sink. */
void easy_flush(struct http_call *c);
void easy_close(struct http_call *c, bool keep);
void easy_global(void);

/* --- the engine -------------------------------------------------------- */

struct http {
	unsigned tag;
	struct loop *loop;
	struct loop_fd *watch;
	int eventfd;
	pthread_t thread;
	bool started;
	int connections, per_host;

	pthread_mutex_t lock;
	pthread_cond_t first;           /* a call, or the end, while multi is
					   NULL */
	CURLM *multi;                   /* NULL until the first call; then the
	                                   engine's, and others wake it */
	struct calls incoming, finished;
	uint64_t up_rate, down_rate;
	bool rates, cancels, quit;      /* look: something is new */

	struct calls waiting, active;
	int running;
	struct bucket up, down;

	struct calls delivering;
	struct http_call *current;
	bool *gone;                     /* set when closed from a callback */
};

/* A counter that one thread writes and the other reads. */
#define SET(v, x) __atomic_store_n(&(v), (x), __ATOMIC_RELAXED)
#define GET(v)    __atomic_load_n(&(v), __ATOMIC_RELAXED)

#endif
