/* Identifiers that sort by time, and names that people give. */
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "rekindle/base.h"

#define RANDOM_BYTES 10

static const char base32[] = "0123456789abcdefghjkmnpqrstvwxyz";

/* The newest id of this process: what the next one must be above. */
static struct {
	pthread_mutex_t lock;
	pid_t pid;              /* after a fork the child starts afresh */
	int64_t ms;
	uint8_t rnd[RANDOM_BYTES];
} newest = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* rnd + 1; false when it has come round to zero. */
static bool
increment(uint8_t rnd[RANDOM_BYTES])
{
	for (int i = RANDOM_BYTES; i-- > 0;) {
		if (++rnd[i] != 0)
			return true;
	}
	return false;
}

static void
next_id(int64_t *ms, uint8_t rnd[RANDOM_BYTES])
{
	pthread_mutex_lock(&newest.lock);
	int64_t now = now_ms();
	pid_t pid = getpid();
	if (now > newest.ms || pid != newest.pid) {
		newest.ms = RK_MAX(now, newest.ms);
		newest.pid = pid;
		rk_random_bytes(newest.rnd, RANDOM_BYTES);
	} else if (!increment(newest.rnd)) {
		newest.ms++;
	}
	*ms = newest.ms;
	memcpy(rnd, newest.rnd, RANDOM_BYTES);
	pthread_mutex_unlock(&newest.lock);
}

void
rk_id_new(char out[RK_ID])
{
	uint8_t rnd[RANDOM_BYTES];
	int64_t ms;

	next_id(&ms, rnd);
	/* 48 bits in 10 digits of 5: the first one holds only three bits. */
	for (int i = 0; i < 10; i++)
		out[i] = base32[(ms >> (45 - 5 * i)) & 31];
	/* 80 bits in 16 digits: twice 40 bits, 8 digits each. */
	for (int h = 0; h < 2; h++) {
		uint64_t v = 0;
		for (int i = 0; i < 5; i++)
			v = v << 8 | rnd[5 * h + i];
		for (int i = 0; i < 8; i++)
			out[10 + 8 * h + i] = base32[(v >> (35 - 5 * i)) & 31];
	}
	out[RK_ID_LEN] = '\0';
}

bool
rk_id_ok(const char *s)
{
	return strlen(s) == RK_ID_LEN && strspn(s, base32) == RK_ID_LEN &&
	    s[0] <= '7';
}

bool
rk_name_ok(const char *s)
{
	static const char ok[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t n = strnlen(s, RK_NAME_MAX + 1);

	return n >= 1 && n <= RK_NAME_MAX && strspn(s, ok) == n &&
	    s[0] != '.' && s[0] != '-';
}
