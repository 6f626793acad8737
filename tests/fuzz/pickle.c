/* module: format */
/*
 * Any bytes as a pickle: alone, by a machine with little memory, and as what an
 * archive of PyTorch says of two storages.
 */
#include "pickle.h"
#include "weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define BUDGET ((size_t)256 << 10)

struct archive {
	struct strbuf b, dir;
	unsigned members;
};

static void
put_le(struct strbuf *b, uint64_t v, int bytes)
{
	for (int i = 0; i < bytes; i++, v >>= 8)
		sb_addc(b, (char)(v & 0xff));
}

/* A stored member; the checksum is not looked at. */
static void
put_member(struct archive *a, const char *name, const void *p, size_t n)
{
	const size_t at = a->b.len, len = strlen(name);

	put_le(&a->b, 0x04034b50u, 4);
	put_le(&a->b, 0, 14);
	put_le(&a->b, n, 4);
	put_le(&a->b, n, 4);
	put_le(&a->b, len, 4);
	sb_adds(&a->b, name);
	sb_add(&a->b, p, n);
	put_le(&a->dir, 0x02014b50u, 4);
	put_le(&a->dir, 0, 16);
	put_le(&a->dir, n, 4);
	put_le(&a->dir, n, 4);
	put_le(&a->dir, len, 4);
	put_le(&a->dir, 0, 10);
	put_le(&a->dir, at, 4);
	sb_adds(&a->dir, name);
	a->members++;
}

static void
put_end(struct archive *a)
{
	const size_t at = a->b.len, n = a->dir.len;

	sb_add(&a->b, a->dir.s, n);
	put_le(&a->b, 0x06054b50u, 4);
	put_le(&a->b, 0, 4);
	put_le(&a->b, a->members, 2);
	put_le(&a->b, a->members, 2);
	put_le(&a->b, n, 4);
	put_le(&a->b, at, 4);
	put_le(&a->b, 0, 2);
}

static void
machine(const uint8_t *p, size_t n, unsigned who)
{
	size_t left = BUDGET;
	struct arena arena = { .left = &left };
	struct pickle k = { .arena = &arena, .who = who, .p = p, .n = n };
	struct rk_why why = {0};
	char text[PICKLE_SHOW];
	enum rk_err rc = pickle_read(&k, &why);

	must(rc == RK_OK || rc == RK_EINVAL || rc == RK_ELIMIT);
	must(why.n == (rc != RK_OK) && k.at <= n && left <= BUDGET);
	if (rc == RK_OK)
		(void)pickle_show(text, &k.value);
	arena_free(&arena);
	must(left == BUDGET);
	rk_why_fini(&why);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const unsigned char storage[96];
	struct archive a = {0};

	machine(p, n, PICKLE_TORCH);
	machine(p, n, PICKLE_PADDLE);
	put_member(&a, "archive/data.pkl", p, n);
	put_member(&a, "archive/data/0", storage, sizeof(storage));
	put_member(&a, "archive/data/1", storage, 16);
	put_end(&a);
	/* Exactly sized, so that ASan sees a read past the end. */
	uint8_t *own = xmalloc(a.b.len);
	memcpy(own, a.b.s, a.b.len);
	fuzz_bytes(own, a.b.len, NULL);
	free(own);
	sb_fini(&a.b);
	sb_fini(&a.dir);
	return 0;
}
