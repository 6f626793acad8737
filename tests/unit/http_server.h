/*
 * A small HTTP server in threads of the test, with good and bad days.  The path
 * says what it does:
 *
 *	/status/N        answers N, with the body "status N"
 *	/bytes/N         N bytes of server_byte(), or the Range of them (206)
 *	/chunked/N       the same in chunks
 *	/echo/M          the request's body, if its method is M
 *	/head            the request's head, as it came
 *	/put             swallows the body, answers its length and sum
 *	/early           answers 403 at the head and closes
 *	/cut/N           announces 1000 bytes and closes after N
 *	/stall/N         announces 1000 bytes and stops after N
 *	/drip/N          announces 1000 bytes and sends one every N ms
 *	/deaf            reads the head of a PUT, and never the body
 *	/silent          never answers
 *	/close           closes without an answer
 *	/junk            answers what is not HTTP
 *	/slow/N          answers after N ms
 *	/fickle          answers, and closes in the middle of the next request
 */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>

#include "rekindle/base.h"
#include "t.h"

static struct {
	int fd, port;
	int connections, requests;      /* so far */
	int busy, most_busy;            /* requests under way */
	uint64_t took;                  /* bytes of bodies */
} server;

#define ADD(v, n) __atomic_add_fetch(&(v), (n), __ATOMIC_SEQ_CST)
#define NOW(v)    __atomic_load_n(&(v), __ATOMIC_SEQ_CST)

static inline unsigned char
server_byte(uint64_t at)
{
	return (unsigned char)(at * 31 + (at >> 8) * 7 + (at >> 16));
}

static void
say(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t put = send(fd, p, n, MSG_NOSIGNAL);
		if (put <= 0)
			return;
		p += put;
		n -= (size_t)put;
	}
}

static void
says(int fd, const char *s)
{
	say(fd, s, strlen(s));
}

static void
answer(int fd, int status, const char *more, const void *body, size_t n)
{
	char head[512];
	int len = snprintf(head, sizeof(head), "HTTP/1.1 %d Said so\r\n"
	    "Content-Length: %zu\r\nX-Test:  one two \r\n%s\r\n", status, n,
	    more);
	say(fd, head, (size_t)len);
	say(fd, body, n);
}

static void
answer_bytes(int fd, const char *head, uint64_t all, bool chunked)
{
	const char *range = strcasestr(head, "\r\nRange: bytes=");
	unsigned long long from = 0, to = all - 1;
	char line[256];

	if (range != NULL)
		sscanf(range + 15, "%llu-%llu", &from, &to);
	int n = snprintf(line, sizeof(line), "HTTP/1.1 %d X\r\n%s",
	    range != NULL ? 206 : 200,
	    chunked ? "Transfer-Encoding: chunked\r\n" : "");
	if (!chunked)
		n += snprintf(line + n, sizeof(line) - (size_t)n,
		    "Content-Length: %llu\r\nContent-Range: bytes %llu-%llu/"
		    "%llu\r\n", to + 1 - from, from, to,
		    (unsigned long long)all);
	say(fd, line, (size_t)n);
	says(fd, "\r\n");
	static __thread char buf[65536];
	while (from <= to) {
		size_t k = 0;
		for (; k < sizeof(buf) && from <= to; k++)
			buf[k] = (char)server_byte(from++);
		if (chunked) {
			n = snprintf(line, sizeof(line), "%zx\r\n", k);
			say(fd, line, (size_t)n);
		}
		say(fd, buf, k);
		if (chunked)
			says(fd, "\r\n");
	}
	if (chunked)
		says(fd, "0\r\nX-Test: late\r\n\r\n");
}

/* The body: what came with the head, then the rest.  Echoed or summed. */
static void
answer_body(int fd, const char *head, const char *p, size_t have, bool echo)
{
	const char *len = strcasestr(head, "\r\nContent-Length: ");
	unsigned long long size = len != NULL ? strtoull(len + 18, NULL, 10) : 0;
	unsigned long long got = 0, sum = 0;
	char *kept = echo ? malloc(size + 1) : NULL;
	static __thread char buf[65536];

	if (strcasestr(head, "\r\nExpect: 100-continue") != NULL)
		says(fd, "HTTP/1.1 100 Continue\r\nX-Test: early\r\n\r\n");
	while (got < size) {
		ssize_t n = have > 0 ? (ssize_t)have :
		    recv(fd, buf, sizeof(buf), 0);
		if (n <= 0)
			break;
		const char *from = have > 0 ? p : buf;
		for (ssize_t i = 0; i < n; i++) {
			sum += (unsigned char)from[i] *
			    (got + (unsigned)i + 1);
			if (kept != NULL)
				kept[got + (unsigned)i] = from[i];
		}
		got += (unsigned long long)n;
		ADD(server.took, (uint64_t)n);
		have = 0;
	}
	char text[64];
	snprintf(text, sizeof(text), "%llu %llu", got, sum);
	if (got == size)
		answer(fd, 200, "", echo ? kept : text,
		    echo ? size : strlen(text));
	free(kept);
}

static uint64_t
number(const char *path)
{
	return strtoull(strrchr(path, '/') + 1, NULL, 10);
}

static bool
begins(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

static void
drip(int fd, uint64_t ms)
{
	for (int i = 0; i < 1000 && send(fd, "", 1, MSG_NOSIGNAL) == 1; i++)
		usleep((useconds_t)ms * 1000);
}

/* Days that end the connection. */
static bool
bad_day(int fd, const char *path)
{
	char zeros[1000] = "";
	const char *head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";

	if (begins(path, "/early")) {
		answer(fd, 403, "Connection: close\r\n", "no", 2);
		usleep(100000);
	} else if (begins(path, "/cut/")) {
		says(fd, head);
		say(fd, zeros, number(path));
	} else if (begins(path, "/stall/")) {
		says(fd, head);
		say(fd, zeros, number(path));
		sleep(8);
	} else if (begins(path, "/drip/")) {
		says(fd, head);
		drip(fd, number(path));
	} else if (begins(path, "/silent") || begins(path, "/deaf")) {
		sleep(8);
	} else if (begins(path, "/junk")) {
		says(fd, "220 mail is here\r\n\r\n");
	} else if (!begins(path, "/close")) {
		return false;
	}
	return true;
}

/* Up to n bytes, until none comes for a while. */
static void
swallow(int fd, size_t n)
{
	struct timeval some = { .tv_usec = 200000 };
	static __thread char buf[4096];

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &some, sizeof(some));
	while (n > 0) {
		ssize_t got = recv(fd, buf, RK_MIN(n, sizeof(buf)), 0);
		if (got <= 0)
			return;
		n -= (size_t)got;
	}
}

/* false: the connection ends. */
static bool
serve_one(int fd, const char *head, const char *body, size_t have)
{
	char method[16], path[256] = "", text[64];
	static __thread bool fickle;

	if (fickle) {
		fickle = false;
		swallow(fd, 100000);
		return false;
	}
	sscanf(head, "%15s %255s", method, path);
	if (bad_day(fd, path))
		return false;
	if (begins(path, "/echo/") && strcmp(path + 6, method) != 0)
		return false;
	if (begins(path, "/bytes/") || begins(path, "/chunked/"))
		answer_bytes(fd, head, number(path), path[1] == 'c');
	else if (begins(path, "/echo") || begins(path, "/put"))
		answer_body(fd, head, body, have, path[1] == 'e');
	else if (begins(path, "/status/")) {
		snprintf(text, sizeof(text), "status %d", (int)number(path));
		answer(fd, (int)number(path), "", text,
		    strcmp(method, "HEAD") == 0 || number(path) == 204 ? 0 :
		    strlen(text));
	} else if (begins(path, "/slow/")) {
		usleep((useconds_t)number(path) * 1000);
		answer(fd, 200, "", "slow", 4);
	} else {
		fickle = begins(path, "/fickle");
		answer(fd, 200, "", head, strlen(head));
	}
	return true;
}

static void *
serve(void *ctx)
{
	int fd = (int)(intptr_t)ctx;
	char head[16384];
	size_t n = 0;

	for (;;) {
		ssize_t got = recv(fd, head + n, sizeof(head) - 1 - n, 0);
		if (got <= 0)
			break;
		n += (size_t)got;
		head[n] = '\0';
		char *end = strstr(head, "\r\n\r\n");
		if (end == NULL)
			continue;
		ADD(server.requests, 1);
		int busy = ADD(server.busy, 1);
		int most = NOW(server.most_busy);
		while (busy > most && !__atomic_compare_exchange_n(
		    &server.most_busy, &most, busy, false, __ATOMIC_SEQ_CST,
		    __ATOMIC_SEQ_CST))
			;
		char c = end[4];
		end[3] = '\0';
		size_t have = n - (size_t)(end + 4 - head);
		char body[sizeof(head)];
		memcpy(body, end + 4, have);
		body[0] = have > 0 ? c : '\0';
		bool more = serve_one(fd, head, body, have);
		ADD(server.busy, -1);
		if (!more)
			break;
		n = 0;
	}
	close(fd);
	return NULL;
}

static void *
take_connections(void *ctx)
{
	const int yes = 1;

	(void)ctx;
	for (;;) {
		pthread_t t;
		int fd = accept(server.fd, NULL, NULL);
		if (fd < 0)
			continue;
		/* A head is on its way before its body is written. */
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
		ADD(server.connections, 1);
		if (pthread_create(&t, NULL, serve, (void *)(intptr_t)fd) == 0)
			pthread_detach(t);
	}
	return NULL;
}

/* Its threads end with the case's process. */
static void
server_start(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	pthread_t t;

	server.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	t_check(bind(server.fd, (void *)&a, sizeof(a)) == 0);
	t_check(listen(server.fd, 64) == 0);
	t_check(getsockname(server.fd, (void *)&a, &len) == 0);
	server.port = ntohs(a.sin_port);
	t_check(pthread_create(&t, NULL, take_connections, NULL) == 0);
	pthread_detach(t);
}

#endif
