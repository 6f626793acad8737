/* Files that are no weights, and what their owner is told. */
#include "rekindle/format_weights.h"
#include "t.h"

static void
refused(const void *p, size_t n, const char *part)
{
	struct rk_why why = {0};
	struct weights *w;

	t_eq_int(weights_open_mem(p, n, NULL, &w, &why), RK_EINVAL);
	t_check(w == NULL);
	t_eq_int(why.n, 1);
	t_has(rk_why_first(&why), part);
	rk_why_fini(&why);
}

#define REFUSED(text, part) refused(text, sizeof(text) - 1, part)

T_CASE(a_web_page_is_called_one_with_its_title)
{
	REFUSED("\n <!DOCTYPE html>\n<html><head><title>Sign in\n</title>",
	    "is a web page, not weights (\"Sign in\"): take the address");
	REFUSED("<html>", "is a web page, not weights: take");
	REFUSED("\xef\xbb\xbf<html>", "is a web page");
}

T_CASE(a_pointer_of_git_lfs_says_what_it_stands_for)
{
	REFUSED("version https://git-lfs.github.com/spec/v1\n"
	    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
	    "size 438012345\n", "it stands for a file of 438012345 bytes with "
	    "the SHA-256 4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2"
	    "ca24d17e2393;");
	REFUSED("version https://git-lfs.github.com/spec/v1\n",
	    "of unknown bytes");
}

T_CASE(the_error_of_a_store_is_told)
{
	REFUSED("<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>"
	    "The specified key does not exist.</Message></Error>",
	    "NoSuchKey: The specified key does not exist.");
	REFUSED("<Error><Code>AccessDenied</Code></Error>",
	    "refused, not weights: AccessDenied; fetch");
	REFUSED("<?xml version=\"1.0\"?><a/>", "is XML text, not weights");
}

T_CASE(text_and_json_are_shown)
{
	REFUSED("{\"error\": \"Not found\"}", "is JSON text without a "
	    "weight_map, not weights: it begins with \"{\"error\": \"Not");
	REFUSED("Entry not found", "it begins with \"Entry not found\"");
}

T_CASE(files_of_other_programs_are_called_by_name)
{
	REFUSED("\x08\x07\x12\x07pytorch\x1a\x05" "1.13.1", "an ONNX model");
	REFUSED("\x08\x01\x12\xb3\x95\x02\x0a\x10", "a SavedModel of TensorFlow");
	REFUSED("\x89HDF\r\n\x1a\n........", "an HDF5 file (Keras?)");
	REFUSED("\x1c\0\0\0TFL3\x14\0\x20\0", "TensorFlow Lite");
	REFUSED("GGUF\3\0\0\0\0\0\0\0", "a GGUF file");
	REFUSED("\x28\xb5\x2f\xfd....", "zstd, not weights that can be read: "
	    "unpack it first");
	REFUSED("(dp0\nVa\np1\nI5\ns.", "protocol 2 to 4");
	REFUSED("\x93NUMPY\1\0", "with numpy.savez");
	REFUSED("PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "");
	REFUSED("", "is an empty file");
}

T_CASE(a_damaged_header_of_safetensors_is_told_as_that)
{
	REFUSED("\xff\xff\xff\xff\0\0\0\0{\"a\":", "the header's length is");
	REFUSED("\x40\0\0\0\0\0\0\0{\"a\":{", "cut short");
	REFUSED("\2\0\0\0\0\0\0\0[]", "want \"{\"");
}

T_CASE(what_nothing_is_known_of_is_shown_by_its_first_bytes)
{
	REFUSED("\x9b\x01\xfe\xdc\xba\x98\x76\x54\x32\x10",
	    "it has 10 bytes and begins with 9b01fedcba987654");
	REFUSED("\x80", "it has 1 byte and begins with 80");
}

T_CASE(a_float_of_8_bits_is_refused_by_its_name)
{
	static const char *const types[] = { "F8_E4M3", "F8_E5M2", "F8_E8M0",
	    "F8_E4M3FNUZ", "F8_E5M2FNUZ" };

	for (size_t i = 0; i < RK_ARRAY_LEN(types); i++) {
		char header[128], file[160] = { 0 };
		const int n = snprintf(header, sizeof(header), "{\"w\":{"
		    "\"dtype\":\"%s\",\"shape\":[1],\"data_offsets\":[0,1]}}",
		    types[i]);
		file[0] = (char)n;
		memcpy(file + 8, header, (size_t)n);
		char *part = xasprintf("w: is of %s, which is not taken",
		    types[i]);
		refused(file, 8 + (size_t)n + 1, part);
		free(part);
	}
}

T_MAIN
