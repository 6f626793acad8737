/* module: ckpt */
/*
 * Any bytes as SHA256SUMS of a good checkpoint: read with digests of 64 digits
 * or with none, and never refused.  Unless the first byte is !, the text gets a
 * line of checkpoint.json and a right last line, without which a fuzzer would not
 * get far.
 */
#include <string.h>

#include "ckpt_folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static char digest[RK_SHA256_HEX];      /* of checkpoint.json */

static void
set_up(void)
{
	static const float x[1];
	const int64_t d = 1;
	struct ckpt_info i = { .step = 10 };
	struct tensor_set *s = tensor_set_new();

	open_folder();
	must(tensor_set_add(s, "w", DT_F32, 1, &d, x, NULL) == RK_OK);
	must(ckpt_save(the, &i, s, s, NULL) == RK_OK);
	memcpy(digest, i.digest, sizeof(digest));
	tensor_set_free(s);
	ckpt_info_fini(&i);
	open_dir();
}

static void
put_whole(const void *p, size_t n)
{
	char check[RK_SHA256_HEX];
	struct strbuf b = { 0 };

	sb_add(&b, p, n);
	sb_addf(&b, "\n%s  checkpoint.json\n", digest);
	rk_sha256_of(b.s, b.len, check);
	sb_addf(&b, "# %s\n", check);
	put("SHA256SUMS", b.s, b.len);
	sb_fini(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct ckpt_info i;

	if (n == 0 || n > 65536)
		return 0;
	if (the == NULL)
		set_up();
	if (p[0] == '!')
		put("SHA256SUMS", p + 1, n - 1);
	else
		put_whole(p, n);
	must(ckpt_read(the, DIR_NAME, &i) == RK_OK);
	for (int k = 0; k < i.nfiles; k++) {
		const char *hex = i.files[k].sha256;
		must(hex[0] == '\0' || (strlen(hex) == RK_SHA256_HEX - 1 &&
		    strspn(hex, "0123456789abcdef") == RK_SHA256_HEX - 1));
	}
	ckpt_info_fini(&i);
	return 0;
}
