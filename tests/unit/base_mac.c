/* HMAC, hex, base64, and secrets that are forgotten. */
#include "rekindle/base.h"
#include "t.h"

static const char *
hex_of(const void *p, size_t n)
{
	static char out[129];

	rk_hex(out, p, n);
	return out;
}

/* RFC 4231, test cases 1, 2 and 6. */
T_CASE(hmac_sha256_is_that_of_the_rfc)
{
	unsigned char key[131], out[32];
	memset(key, 0x0b, 20);
	rk_hmac_sha256(key, 20, "Hi There", 8, out);
	t_eq_str(hex_of(out, 32), "b0344c61d8db38535ca8afceaf0bf12b"
	    "881dc200c9833da726e9376c2e32cff7");
	rk_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, out);
	t_eq_str(hex_of(out, 32), "5bdcc146bf60754e6a042426089575c7"
	    "5a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, sizeof(key));
	const char *text = "Test Using Larger Than Block-Size Key - Hash Key "
	    "First";
	rk_hmac_sha256(key, sizeof(key), text, strlen(text), out);
	t_eq_str(hex_of(out, 32), "60e431591ee0b67f0d8a26aacbf5b77f"
	    "8e0bc6213728c5140546040f0ee37f54");
}

/* RFC 2202, test cases 1 and 2. */
T_CASE(hmac_sha1_is_that_of_the_rfc)
{
	unsigned char key[20], out[20];
	memset(key, 0x0b, 20);
	rk_hmac_sha1(key, 20, "Hi There", 8, out);
	t_eq_str(hex_of(out, 20), "b617318655057264e28bc0b6fb378c8ef146be00");
	rk_hmac_sha1("Jefe", 4, "what do ya want for nothing?", 28, out);
	t_eq_str(hex_of(out, 20), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
}

T_CASE(an_empty_key_and_an_empty_text_have_an_hmac_too)
{
	unsigned char out[32];
	rk_hmac_sha256(NULL, 0, NULL, 0, out);
	t_eq_str(hex_of(out, 32), "b613679a0814d9ec772f95d778c35fc5"
	    "ff1697c493715653c6c712144292c5ad");
}

/* RFC 4648, section 10. */
T_CASE(base64_is_that_of_the_rfc_both_ways)
{
	static const char *const pairs[][2] = { { "", "" }, { "f", "Zg==" },
	    { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" },
	    { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" } };
	for (size_t i = 0; i < RK_ARRAY_LEN(pairs); i++) {
		char *s = rk_base64(pairs[i][0], strlen(pairs[i][0]));
		t_eq_str(s, pairs[i][1]);
		void *p = NULL;
		size_t n = 99;
		t_eq_int(rk_base64_decode(s, &p, &n), RK_OK);
		t_eq_int(n, strlen(pairs[i][0]));
		t_eq_str(p, pairs[i][0]);
		free(p);
		free(s);
	}
}

T_CASE(any_bytes_come_back_from_base64)
{
	unsigned char in[257];
	for (size_t n = 0; n <= sizeof(in); n++) {
		for (size_t i = 0; i < n; i++)
			in[i] = (unsigned char)rk_draw_u32(1, 2,
			    (uint32_t)n, i);
		char *s = rk_base64(in, n);
		t_eq_int(strlen(s), (n + 2) / 3 * 4);
		void *p = NULL;
		size_t len = 0;
		t_eq_int(rk_base64_decode(s, &p, &len), RK_OK);
		t_check(len == n && memcmp(p, in, n) == 0);
		free(p);
		free(s);
	}
}

T_CASE(what_is_not_base64_is_refused)
{
	static const char *const bad[] = { "Z", "Zg", "Zg=", "=", "==", "====",
	    "Zg==Zg==", "Z===", "Zm9v\n", "Zm 9", "Zm9-", "\xff\xff\xff\xff" };
	for (size_t i = 0; i < RK_ARRAY_LEN(bad); i++) {
		void *p = NULL;
		size_t n = 0;
		if (rk_base64_decode(bad[i], &p, &n) != RK_EINVAL)
			t_fail("taken: \"%s\"", bad[i]);
		t_check(p == NULL);
	}
}

T_CASE(what_was_wiped_is_gone)
{
	char secret[] = "wJalrXUtnFEMI", none[sizeof(secret)] = "";
	rk_wipe(secret, sizeof(secret));
	t_check(memcmp(secret, none, sizeof(secret)) == 0);
	rk_wipe(NULL, 0);
}

T_MAIN
