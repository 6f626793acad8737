/*
 * Memory for arrays.  Large ones come straight from the kernel at a 2 MiB
 * boundary with huge pages asked for: a pass over 80 MB then misses the TLB
 * forty times and not twenty thousand times.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "rekindle/kernel.h"

#define ALIGN  64u
#define HUGE   ((size_t)2 << 20)

static size_t
round_to(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

/* n bytes at a HUGE boundary: map one HUGE more, then give back both ends. */
static void *
map_huge(size_t n)
{
	size_t len = round_to(n, HUGE), all;

	if (!rk_add(len, HUGE, &all))
		return NULL;
	char *p = mmap(NULL, all, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	size_t head = round_to((uintptr_t)p, HUGE) - (uintptr_t)p;
	if (head > 0)
		munmap(p, head);
	munmap(p + head + len, HUGE - head);
	(void)madvise(p + head, len, MADV_HUGEPAGE);    /* a wish */
	return p + head;
}

size_t
kernel_alloc_bytes(size_t n)
{
	if (n > SIZE_MAX - 2 * HUGE)
		return SIZE_MAX;
	return round_to(RK_MAX(n, 1u), n >= 2 * HUGE ? HUGE : ALIGN);
}

void *
kernel_alloc(size_t n)
{
	if (n > SIZE_MAX - 2 * HUGE)
		return NULL;
	if (n >= 2 * HUGE)
		return map_huge(n);
	size_t len = round_to(RK_MAX(n, 1u), ALIGN);
	void *p = aligned_alloc(ALIGN, len);
	if (p != NULL)
		memset(p, 0, len);
	return p;
}

void
kernel_free(void *p, size_t n)
{
	if (p == NULL)
		return;
	if (n >= 2 * HUGE)
		munmap(p, round_to(n, HUGE));
	else
		free(p);
}
