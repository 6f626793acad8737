/*
 * Lines of text from standard input to ids, for tests/golden/bert_tokens.py and the
 * bench:
 *
 *	text_drive VOCABULARY LOWER_CASE LENGTH
 *
 * With LENGTH 0 nothing is printed but how many bytes, tokens and nanoseconds of
 * this thread's time it took, in rounds of all that is there, the least of 9.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "rekindle/text.h"
#include "t.h"

#define MOST ((size_t)1 << 28)

static char *
read_all(size_t *n)
{
	struct strbuf b = {0};
	char piece[65536];
	ssize_t k;

	while ((k = read(0, piece, sizeof(piece))) > 0)
		sb_add(&b, piece, (size_t)k);
	must(k == 0 && b.len < MOST);
	*n = b.len;
	return sb_detach(&b);
}

static int64_t
cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* All lines; their tokens. */
static size_t
run(const struct text_tokens *t, const char *s, size_t n, int64_t length,
    struct text_room *r, int32_t *x)
{
	size_t tokens = 0;

	for (size_t i = 0, end; i < n; i = end + 1) {
		const char *lf = memchr(s + i, '\n', n - i);
		end = lf != NULL ? (size_t)(lf - s) : n;
		if (length == 0) {
			r->n = 0;
			text_ids(t, s + i, end - i, SIZE_MAX, r);
			tokens += r->n;
			continue;
		}
		text_sample(t, r, s + i, end - i, NULL, 0, length, x);
		for (int64_t k = 0; k < length; k++)
			printf("%d%c", x[k], k + 1 < length ? ' ' : '\n');
	}
	return tokens;
}

static void
measure(const struct text_tokens *t, const char *s, size_t n,
    struct text_room *r)
{
	int64_t best = INT64_MAX;
	size_t tokens = 0;

	for (int i = 0; i < 9; i++) {
		const int64_t from = cpu_ns();
		tokens = run(t, s, n, 0, r, NULL);
		best = RK_MIN(best, cpu_ns() - from);
	}
	printf("{\"bytes\": %zu, \"tokens\": %zu, \"ns\": %lld}\n", n, tokens,
	    (long long)best);
}

static int
drive(char **argv)
{
	struct text_options o = { .kind = TEXT_WORDPIECE };
	struct text_tokens *t = NULL;
	struct text_room r = {0};
	struct rk_why why = {0};
	char *vocabulary, *text;
	size_t nv, n;

	o.lower_case = o.strip_accents = atoi(argv[2]) != 0;
	const int64_t length = atoll(argv[3]);
	if (rk_read_file(AT_FDCWD, argv[1], TEXT_MAX_FILE, &vocabulary, &nv) !=
	    RK_OK || text_tokens_new(&t, &o, vocabulary, nv, argv[1], &why) !=
	    RK_OK) {
		fprintf(stderr, "text_drive: %s\n", rk_why_first(&why));
		return 1;
	}
	text = read_all(&n);
	int32_t *x = xcalloc((size_t)RK_MAX(length, 1), sizeof(*x));
	if (length == 0)
		measure(t, text, n, &r);
	else
		(void)run(t, text, n, length, &r, x);
	free(x);
	free(text);
	free(vocabulary);
	text_room_fini(&r);
	text_tokens_free(t);
	return 0;
}

__attribute__((constructor)) static void
drive_main(int argc, char **argv)
{
	if (argc != 4)
		return;
	const int rc = drive(argv);
	fflush(stdout);
	_exit(rc);
}

T_CASE(each_line_has_its_tokens)
{
	static const char words[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"
	    "cold\nstart\n##s\n";
	static const char text[] = "Cold starts\n\nstart never\n";
	const struct text_options o = { .kind = TEXT_WORDPIECE,
		.lower_case = true };
	struct text_tokens *t = NULL;
	struct text_room r = {0};

	t_eq_int(text_tokens_new(&t, &o, words, sizeof(words) - 1, "words",
	    NULL), RK_OK);
	/* cold start ##s; nothing; start [UNK] */
	t_eq_int(run(t, text, sizeof(text) - 1, 0, &r, NULL), 5);
	text_room_fini(&r);
	text_tokens_free(t);
}

T_MAIN
