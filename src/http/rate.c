/*
 * A token bucket: it fills with `rate` bytes a second up to what is worth
 * BURST_MS, and is drawn from before bytes go out and after they came in, when
 * they cannot be given back.  That may leave it below zero, which the next ones
 * wait out; so the sum over any time is at most rate * time + one burst.
 */
#include "impl.h"

#define BURST_MS  50
#define BURST_MIN (32 << 10)
#define PIECE     (16 << 10)    /* smaller is not worth a system call */
#define WAIT_MS   10

static int64_t
room(const struct bucket *b)
{
	uint64_t most = RK_MIN(b->rate, (uint64_t)1 << 40) * BURST_MS / 1000;

	return (int64_t)RK_MAX(most, (uint64_t)BURST_MIN);
}

void
bucket_set(struct bucket *b, uint64_t rate, int64_t now_ns)
{
	*b = (struct bucket){ .rate = rate, .at_ns = now_ns };
}

void
bucket_fill(struct bucket *b, int64_t now_ns)
{
	double s = (double)(now_ns - b->at_ns) / 1e9;

	if (b->rate == 0)
		return;
	double more = RK_MIN(s * (double)b->rate, 1e15);
	/* Too little to count yet: the time is kept. */
	if (more < 1)
		return;
	b->tokens = RK_MIN(b->tokens + (int64_t)more, room(b));
	b->at_ns = now_ns;
}

size_t
bucket_some(const struct bucket *b, size_t want)
{
	if (b->rate == 0)
		return want;
	if (b->tokens <= 0)
		return 0;
	return RK_MIN(want, (size_t)RK_MAX(b->tokens, PIECE));
}

void
bucket_took(struct bucket *b, size_t n)
{
	if (b->rate != 0)
		b->tokens -= (int64_t)n;
}

int64_t
bucket_wait_ms(const struct bucket *b)
{
	if (b->rate == 0 || b->tokens > 0)
		return 0;
	double s = (double)(1 - b->tokens) / (double)b->rate;
	return RK_MAX((int64_t)RK_MIN(s * 1000, 1000.0), WAIT_MS);
}
