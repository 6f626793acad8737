/* What a file looks like that is not of the format wanted, for the refusal. */
#include <string.h>

#include "impl.h"
#include "scan.h"

#define TEXT_LOOK  512          /* bytes looked at before we call it text */
#define SHOWN      80           /* bytes of a text that a refusal shows */
#define FIRST      8            /* bytes that a refusal shows of the unknown */

/* What begins with these bytes at this place, and what its owner can do. */
static const struct known {
	size_t at;
	const char *magic;
	size_t len;
	const char *what, *todo;
} known[] = {
	{ 0, "PK\3\4", 4, "a zip archive, as PyTorch's torch.save writes "
	    "(.pt, .pth)", "it has neither data.pkl nor arrays of NumPy" },
	{ 0, "PK\5\6", 4, "an empty zip archive", "save it again" },
	{ 0, "\x80\x02\x8a\x0a", 4, "a file of an old torch.save (.pt, .pth)",
	    "save it again with torch.save" },
	{ 0, "\x80\x02", 2, "a Python pickle (Paddle's .pdparams?)",
	    "save it again" },
	{ 0, "\x80\x03", 2, "a Python pickle (Paddle's .pdparams?)",
	    "save it again" },
	{ 0, "\x80\x04", 2, "a Python pickle (Paddle's .pdparams?)",
	    "save it again" },
	{ 0, "\x80\x05", 2, "a Python pickle", "save it again" },
	{ 0, "(dp", 3, "a Python pickle of protocol 0",
	    "save it again with protocol 2 to 4" },
	{ 0, "(lp", 3, "a Python pickle of protocol 0",
	    "save it again with protocol 2 to 4" },
	{ 0, "ccollections\n", 13, "a Python pickle of protocol 0",
	    "save it again with protocol 2 to 4" },
	{ 0, "}q", 2, "a Python pickle of protocol 1",
	    "save it again with protocol 2 to 4" },
	{ 0, "\x1f\x8b", 2, "gzip", "unpack it first" },
	{ 0, "\x28\xb5\x2f\xfd", 4, "zstd", "unpack it first" },
	{ 0, "\x04\x22\x4d\x18", 4, "lz4", "unpack it first" },
	{ 0, "\xfd" "7zXZ", 5, "xz", "unpack it first" },
	{ 0, "BZh", 3, "bzip2", "unpack it first" },
	{ 0, "7z\xbc\xaf\x27\x1c", 6, "a 7z archive", "unpack it first" },
	{ 0, "Rar!\x1a\x07", 6, "a RAR archive", "unpack it first" },
	{ 257, "ustar", 5, "a tar archive",
	    "say which of its files, by #member=NAME" },
	{ 0, "\x89HDF\r\n", 6, "an HDF5 file (Keras?)", "load it there and "
	    "save its arrays with safetensors or numpy.savez" },
	{ 0, "\x93NUMPY", 6, "a NumPy array (.npy)",
	    "save arrays with their names, with numpy.savez" },
	{ 0, "GGUF", 4, "a GGUF file", "take the model's weights of before "
	    "it was made for inference, in safetensors" },
	{ 0, "lmgg", 4, "a GGML file", "take the model's weights of before "
	    "it was made for inference, in safetensors" },
	{ 0, "tjgg", 4, "a GGML file", "take the model's weights of before "
	    "it was made for inference, in safetensors" },
	{ 4, "TFL3", 4, "a TensorFlow Lite model", "take the weights that it "
	    "was made from, and save them with safetensors or numpy.savez" },
	{ 0, "\x89PNG", 4, "a PNG image", "want a file of weights" },
	{ 0, "\xff\xd8\xff", 3, "a JPEG image", "want a file of weights" },
	{ 0, "%PDF", 4, "a PDF", "want a file of weights" },
	{ 0, "\x7f" "ELF", 4, "a program", "want a file of weights" },
	{ 0, "SQLite format 3", 15, "an SQLite database",
	    "want a file of weights" },
};

static bool
begins(const unsigned char *p, size_t n, const char *magic, size_t len)
{
	return n >= len && memcmp(p, magic, len) == 0;
}

static const struct known *
find_known(const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(known); i++) {
		const struct known *k = &known[i];
		if (n >= k->at && begins(p + k->at, n - k->at, k->magic,
		    k->len))
			return k;
	}
	return NULL;
}

static bool
is_text(const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n && i < TEXT_LOOK; i++) {
		if ((p[i] < 0x20 && strchr("\t\n\r\f", p[i]) == NULL) ||
		    p[i] == 0 || p[i] == 0x7f)
			return false;
		/* Letters beyond ASCII, but not as the first word; the mark
		 * that editors put before UTF-8 is one. */
		if (p[i] >= 0x80 && i < 8 && !begins(p, n, "\xef\xbb\xbf", 3))
			return false;
	}
	return true;
}

/* Paddle's raw tensor: u32 0, u64 0 (no levels), u32 0, i32 length of a
 * description, which begins with field 1, a varint. */
static bool
is_lod_tensor(const unsigned char *p, size_t n)
{
	static const unsigned char zeros[16];

	return n > 20 && memcmp(p, zeros, sizeof(zeros)) == 0 && p[16] > 0 &&
	    p[17] < 4 && p[18] == 0 && p[19] == 0 && p[20] == 0x08;
}

/* --- protobuf --------------------------------------------------------------- */

/*
 * Programs of which the first field tells, as their schemas number them:
 *
 *	ONNX       ModelProto: ir_version 1 (3 to 20), then producer_name 2, a
 *	           text, or another field
 *	TensorFlow SavedModel: schema version 1, always 1, then a MetaGraphDef
 *	2,
 *	           which begins with its own field 1
 *	Paddle     ProgramDesc: blocks 1, which begin with idx 0 and parent_idx
 */
static const char *
sniff_protobuf(const unsigned char *p, size_t n)
{
	if (n > 5 && p[0] == 0x08 && p[1] == 1 && p[2] == 0x12 &&
	    (p[3] & 0x80) != 0)
		return "a SavedModel of TensorFlow";
	if (n > 5 && p[0] == 0x08 && p[1] >= 3 && p[1] <= 20 &&
	    (p[2] == 0x12 || p[2] == 0x1a || p[2] == 0x3a || p[2] == 0x42))
		return "an ONNX model";
	if (n > 8 && p[0] == 0x0a) {
		size_t at = 1;
		while (at < n && at < 8 && (p[at] & 0x80) != 0)
			at++;
		if (begins(p + at + 1, n - at - 1, "\x08\x00\x10", 3))
			return "a program of Paddle (.pdmodel)";
	}
	return NULL;
}

/* --- text ------------------------------------------------------------------- */

static size_t
skip_blanks(const unsigned char *p, size_t n)
{
	size_t i = begins(p, n, "\xef\xbb\xbf", 3) ? 3 : 0;

	while (i < n && i < TEXT_LOOK && strchr(" \t\r\n", p[i]) != NULL &&
	    p[i] != 0)
		i++;
	return i;
}

enum text_kind { TEXT_LFS, TEXT_JSON, TEXT_XML, TEXT_PAGE, TEXT_PLAIN };

/* Does the text begin like this, in letters of either case? */
static bool
begins_like(const unsigned char *p, size_t n, const char *word)
{
	const size_t len = strlen(word);

	if (n < len)
		return false;
	for (size_t i = 0; i < len; i++) {
		const unsigned char c = p[i] >= 'A' && p[i] <= 'Z' ?
		    p[i] | 0x20u : p[i];
		if (c != (unsigned char)word[i])
			return false;
	}
	return true;
}

static enum text_kind
text_kind(const unsigned char *p, size_t n)
{
	const size_t i = skip_blanks(p, n);

	if (begins(p, n, "version https://git-lfs", 23))
		return TEXT_LFS;
	if (i < n && (p[i] == '{' || p[i] == '['))
		return TEXT_JSON;
	if (begins_like(p + i, n - i, "<?xml") ||
	    begins_like(p + i, n - i, "<error"))
		return TEXT_XML;
	return i < n && p[i] == '<' ? TEXT_PAGE : TEXT_PLAIN;
}

const char *
format_sniff(const unsigned char *p, size_t n)
{
	static const char *const texts[] = {
		[TEXT_LFS] = "a Git LFS pointer, not the file it stands for",
		[TEXT_JSON] = "JSON text (the index of a sharded checkpoint?)",
		[TEXT_XML] = "XML text (the error of an object store?)",
		[TEXT_PAGE] = "a web page",
		[TEXT_PLAIN] = "text",
	};

	if (n == 0)
		return "an empty file";
	const struct known *k = find_known(p, n);
	if (k != NULL)
		return k->what;
	if (is_lod_tensor(p, n))
		return "a single Paddle tensor (LoDTensor)";
	if (is_text(p, n))
		return texts[text_kind(p, n)];
	return sniff_protobuf(p, n);
}

/* --- sentences -------------------------------------------------------------- */

/* The text behind `key` up to `end`, at most SHOWN bytes; "" if there is
 * none. */
static void
cut_out(const unsigned char *p, size_t n, const char *key, const char *ends,
    char out[SHOWN + 2])
{
	const size_t look = RK_MIN(n, (size_t)TEXT_LOOK * 8);
	const unsigned char *at = memmem(p, look, key, strlen(key));
	size_t k = 0;

	if (at != NULL) {
		at += strlen(key);
		while (k <= SHOWN && at + k < p + look && at[k] != '\0' &&
		    strchr(ends, at[k]) == NULL)
			k++;
		memcpy(out, at, k);
	}
	out[k] = '\0';
	out[rk_text_fit(out, SHOWN)] = '\0';
	rk_text_clean(out);
}

static enum rk_err
refuse_lfs(const unsigned char *p, size_t n, struct rk_why *why)
{
	char oid[SHOWN + 2], size[SHOWN + 2];

	cut_out(p, n, "oid sha256:", "\r\n", oid);
	cut_out(p, n, "\nsize ", "\r\n", size);
	return rk_refuse(why, "is a Git LFS pointer, not weights: it stands for "
	    "a file of %s bytes with the SHA-256 %s; fetch that with `git lfs "
	    "pull`, or from the address that gives the file itself",
	    size[0] != '\0' ? size : "unknown", oid[0] != '\0' ? oid :
	    "unknown");
}

static enum rk_err
refuse_xml(const unsigned char *p, size_t n, struct rk_why *why)
{
	char code[SHOWN + 2], message[SHOWN + 2];

	cut_out(p, n, "<Code>", "<\r\n", code);
	cut_out(p, n, "<Message>", "<\r\n", message);
	if (code[0] == '\0')
		return rk_refuse(why, "is XML text, not weights");
	return rk_refuse(why, "is the answer of an object store that refused, "
	    "not weights: %s%s%s; fetch the file again", code,
	    message[0] != '\0' ? ": " : "", message);
}

static enum rk_err
refuse_page(const unsigned char *p, size_t n, struct rk_why *why)
{
	char title[SHOWN + 2];

	cut_out(p, n, "<title>", "<\r\n", title);
	return rk_refuse(why, "is a web page, not weights%s%s%s: take the "
	    "address that gives the file itself, and see whether it wants a "
	    "login", title[0] != '\0' ? " (\"" : "", title,
	    title[0] != '\0' ? "\")" : "");
}

static enum rk_err
refuse_plain(const unsigned char *p, size_t n, const char *what,
    struct rk_why *why)
{
	const size_t i = skip_blanks(p, n);
	char text[SHOWN + 2];
	const size_t k = RK_MIN(n - i, (size_t)SHOWN + 1);

	memcpy(text, p + i, k);
	text[k] = '\0';
	text[k] = '\0';
	text[rk_text_fit(text, SHOWN)] = '\0';
	return rk_refuse(why, "is %s, not weights: it begins with \"%s\"", what,
	    rk_text_clean(text));
}

static enum rk_err
refuse_text(const unsigned char *p, size_t n, struct rk_why *why)
{
	switch (text_kind(p, n)) {
	case TEXT_LFS:
		return refuse_lfs(p, n, why);
	case TEXT_XML:
		return refuse_xml(p, n, why);
	case TEXT_PAGE:
		return refuse_page(p, n, why);
	case TEXT_JSON:
		return refuse_plain(p, n, "JSON text without a weight_map",
		    why);
	default:
		return refuse_plain(p, n, "text", why);
	}
}

static enum rk_err
refuse_unknown(const unsigned char *p, size_t n, struct rk_why *why)
{
	char hex[2 * FIRST + 1];

	rk_hex(hex, p, RK_MIN(n, (size_t)FIRST));
	return rk_refuse(why, "is of no format of weights that is known: not "
	    "safetensors, PyTorch's, Paddle's or npz (encrypted, damaged or cut "
	    "off?); it has %zu byte%s and begins with %s", n,
	    rk_s((int64_t)n), hex);
}

/* Could what begins so have been meant as safetensors? */
static bool
meant_as_safetensors(const unsigned char *p, size_t n)
{
	struct scan s = { .p = p, .n = RK_MIN(n, (size_t)64), .at = 8 };

	if (n < 8 || format_le64(p) > ST_HEADER_MAX)
		return n > 8 && p[8] == '{';
	const int c = scan_peek(&s);
	return c == '{' || c == '[';
}

enum rk_err
format_refuse(const unsigned char *p, size_t n, struct rk_why *why)
{
	if (n == 0)
		return rk_refuse(why, "is an empty file");
	const struct known *k = find_known(p, n);
	if (k != NULL)
		return rk_refuse(why, "is %s, not weights that can be read: "
		    "%s", k->what, k->todo);
	if (is_text(p, n))
		return refuse_text(p, n, why);
	const char *what = sniff_protobuf(p, n);
	if (what != NULL)
		return rk_refuse(why, "is %s, not weights that can be read: "
		    "load it there and save its weights with safetensors or "
		    "numpy.savez (Paddle's are in the .pdiparams beside the "
		    ".pdmodel)", what);
	if (meant_as_safetensors(p, n)) {
		struct tensor_set *s;
		enum rk_err rc = format_parse(p, n, &s, why);
		must(rc != RK_OK);
		return rc;
	}
	return refuse_unknown(p, n, why);
}
