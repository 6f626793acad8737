/* What a file that is no safetensors looks like, for the refusal. */
#include <string.h>

#include "impl.h"

#define TEXT_LOOK 512           /* bytes looked at before we call it text */

static bool
begins(const unsigned char *p, size_t n, const char *magic, size_t len)
{
	return n >= len && memcmp(p, magic, len) == 0;
}

static bool
is_text(const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n && i < TEXT_LOOK; i++) {
		if ((p[i] < 0x20 && strchr("\t\n\r\f", p[i]) == NULL) ||
		    p[i] == 0 || p[i] == 0x7f)
			return false;
		/* Letters beyond ASCII, but not as the first word. */
		if (p[i] >= 0x80 && i < 8)
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

static const char *
sniff_text(const unsigned char *p, size_t n)
{
	size_t i = 0;

	if (begins(p, n, "version https://git-lfs", 23))
		return "a Git LFS pointer, not the file that it stands for";
	while (i < n && i < TEXT_LOOK && strchr(" \t\r\n", p[i]) != NULL)
		i++;
	if (i < n && (p[i] == '{' || p[i] == '['))
		return "JSON text (the index of a sharded checkpoint?)";
	if (i < n && p[i] == '<')
		return "a web page";
	return "text";
}

const char *
format_sniff(const unsigned char *p, size_t n)
{
	static const struct {
		const char *magic;
		size_t len;
		const char *what;
	} known[] = {
		{ "PK\3\4", 4, "a zip archive, as PyTorch's torch.save writes "
		    "(.pt, .pth)" },
		{ "PK\5\6", 4, "an empty zip archive" },
		{ "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20", 10,
		    "a file of an old torch.save (.pt, .pth)" },
		{ "\x80\x02", 2, "a Python pickle (Paddle's .pdparams?)" },
		{ "\x80\x03", 2, "a Python pickle (Paddle's .pdparams?)" },
		{ "\x80\x04", 2, "a Python pickle (Paddle's .pdparams?)" },
		{ "\x80\x05", 2, "a Python pickle" },
		{ "\x1f\x8b", 2, "gzip: unpack it first" },
		{ "\x28\xb5\x2f\xfd", 4, "zstd: unpack it first" },
		{ "\xfd" "7zXZ", 5, "xz: unpack it first" },
		{ "BZh", 3, "bzip2: unpack it first" },
		{ "\x89HDF\r\n", 6, "an HDF5 file (Keras?)" },
		{ "\x93NUMPY", 6, "a NumPy array (.npy)" },
		{ "GGUF", 4, "a GGUF file" },
	};

	if (n == 0)
		return "an empty file";
	for (size_t i = 0; i < RK_ARRAY_LEN(known); i++) {
		if (begins(p, n, known[i].magic, known[i].len))
			return known[i].what;
	}
	if (n > 262 && memcmp(p + 257, "ustar", 5) == 0)
		return "a tar archive: unpack it first";
	if (is_lod_tensor(p, n))
		return "a single Paddle tensor (LoDTensor)";
	if (is_text(p, n))
		return sniff_text(p, n);
	return NULL;
}
