/* module: format */
/*
 * Any bytes beside a .pdiparams of two tensors, in a tar: the first says as what,
 * `m` a program of Paddle 2, `j` one of Paddle 3, others what .info has.  The tensors
 * are read in any case, with names or with numbers.
 */
#include <string.h>

#include "weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define BLOCK 512

static void
put_octal(char *at, int digits, uint64_t v)
{
	while (digits-- > 0) {
		at[digits] = (char)('0' + (v & 7));
		v >>= 3;
	}
}

/* A member of a tar (POSIX ustar). */
static void
put_file(struct strbuf *b, const char *name, const void *p, size_t n)
{
	static const char zeros[BLOCK];
	char h[BLOCK] = { 0 };
	unsigned sum = 0;

	memcpy(h, name, strlen(name));
	put_octal(h + 100, 7, 0644);
	put_octal(h + 124, 11, n);
	put_octal(h + 136, 11, 0);
	h[156] = '0';
	memcpy(h + 257, "ustar\00000", 8);
	memset(h + 148, ' ', 8);
	for (int i = 0; i < BLOCK; i++)
		sum += (unsigned char)h[i];
	put_octal(h + 148, 6, sum);
	h[154] = '\0';
	sb_add(b, h, BLOCK);
	sb_add(b, p, n);
	sb_add(b, zeros, (BLOCK - n % BLOCK) % BLOCK);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const char records[] =
	    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\4\0\0\0\x08\5\x10\3"
	    "aaaabbbbcccc"
	    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\6\0\0\0\x08\5\x10\2\x10\3"
	    "aaaabbbbccccddddeeeeffff";
	static const char zeros[2 * BLOCK];
	struct weights_how how = WEIGHTS_HOW;
	struct rk_why why = {0};
	struct strbuf b = {0};
	struct weights *w;

	const char *name = n > 0 && p[0] == 'm' ? "m.pdmodel" :
	    n > 0 && p[0] == 'j' ? "m.json" : "m.pdiparams.info";
	put_file(&b, "m.pdiparams", records, sizeof(records) - 1);
	put_file(&b, name, p + (n > 0), n - (n > 0));
	sb_add(&b, zeros, sizeof(zeros));
	how.member = "m.pdiparams";
	enum rk_err rc = weights_open_mem(b.s, b.len, &how, &w, &why);
	must(rc != RK_OK || w->n == 2);
	/* Names that no tensor may have refuse the file, no other thing. */
	fuzz_weights(rc, w, &why);
	sb_fini(&b);
	return 0;
}
