/*
 * load - a small HTTP/1.1 loader for where wrk is missing:
 *
 *	load CONNECTIONS SECONDS HOST:PORT PATH
 *
 * Keep-alive GETs, one outstanding a connection, one thread with epoll.
 * Prints `requests_per_second p50_ms p99_ms errors`.  Loopback only.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 256
#define MAX_SAMPLES     4000000

struct conn {
	int fd;
	double sent;
	long want;              /* body bytes still to come; -1: in the header */
	char head[8192];
	size_t n;
};

static struct conn conns[MAX_CONNECTIONS];
static float *samples;
static size_t nsamples, errors;

static double
now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void
ask(struct conn *c, const char *req, size_t len)
{
	c->n = 0;
	c->want = -1;
	c->sent = now();
	if (write(c->fd, req, len) != (ssize_t)len)
		errors++;
}

/* Take what came; 1 when the answer is whole, -1 when the connection broke. */
static int
answer(struct conn *c)
{
	char buf[65536];
	ssize_t got = read(c->fd, buf, sizeof(buf));

	if (got <= 0)
		return -1;
	if (c->want < 0) {
		size_t room = sizeof(c->head) - 1 - c->n;
		size_t use = (size_t)got < room ? (size_t)got : room;
		memcpy(c->head + c->n, buf, use);
		c->n += use;
		c->head[c->n] = '\0';
		char *end = strstr(c->head, "\r\n\r\n");
		if (end == NULL)
			return c->n + 1 < sizeof(c->head) ? 0 : -1;
		char *len = strcasestr(c->head, "Content-Length:");
		if (len == NULL || len > end)
			return -1;
		if (strncmp(c->head + 9, "200", 3) != 0)
			errors++;
		long have = (long)(c->n - (size_t)(end + 4 - c->head)) +
		    (long)((size_t)got - use);
		c->want = atol(len + 15) - have;
	} else {
		c->want -= got;
	}
	return c->want <= 0 ? 1 : 0;
}

static int
by_size(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;
	return (x > y) - (x < y);
}

int
main(int argc, char **argv)
{
	if (argc != 5 || atoi(argv[1]) < 1 || atoi(argv[1]) > MAX_CONNECTIONS ||
	    strncmp(argv[3], "127.", 4) != 0) {
		fprintf(stderr, "usage: load CONNECTIONS SECONDS 127.x:PORT PATH\n");
		return 2;
	}
	int n = atoi(argv[1]), ep = epoll_create1(0), one = 1;
	char *colon = strchr(argv[3], ':');
	struct sockaddr_in a = { .sin_family = AF_INET };
	if (colon == NULL)
		return 2;
	*colon = '\0';
	a.sin_port = htons((uint16_t)atoi(colon + 1));
	inet_pton(AF_INET, argv[3], &a.sin_addr);

	char req[1024];
	size_t len = (size_t)snprintf(req, sizeof(req),
	    "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n\r\n", argv[4], colon + 1);
	samples = malloc(MAX_SAMPLES * sizeof(float));
	for (int i = 0; i < n; i++) {
		struct conn *c = &conns[i];
		c->fd = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(c->fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
			perror("connect");
			return 1;
		}
		setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
		epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
		ask(c, req, len);
	}
	double start = now(), end = start + atof(argv[2]);
	while (now() < end && nsamples < MAX_SAMPLES) {
		struct epoll_event ev[64];
		int k = epoll_wait(ep, ev, 64, 100);
		for (int i = 0; i < k; i++) {
			struct conn *c = ev[i].data.ptr;
			int r = answer(c);
			if (r < 0) {
				fprintf(stderr, "load: connection broke\n");
				return 1;
			}
			if (r == 0)
				continue;
			if (nsamples < MAX_SAMPLES)
				samples[nsamples++] = (float)(now() - c->sent);
			ask(c, req, len);
		}
	}
	double took = now() - start;
	qsort(samples, nsamples, sizeof(float), by_size);
	if (nsamples == 0)
		return 1;
	printf("%.0f %.3f %.3f %zu\n", (double)nsamples / took,
	    1e3 * samples[nsamples / 2], 1e3 * samples[nsamples * 99 / 100],
	    errors);
	return 0;
}
