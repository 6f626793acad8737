/* A model in several safetensors files, by its index. */
#include <sys/stat.h>

#include "rekindle/format_weights.h"
#include "t.h"

static void
save(const char *path, const char *header, size_t data)
{
	struct strbuf b = {0};
	const uint64_t len = strlen(header);

	for (int i = 0; i < 8; i++)
		sb_addc(&b, (char)(len >> 8 * i & 0xff));
	sb_adds(&b, header);
	for (size_t i = 0; i < data; i++)
		sb_addc(&b, (char)i);
	FILE *f = fopen(path, "wb");
	t_check(f != NULL && fwrite(b.s, 1, b.len, f) == b.len);
	t_check(fclose(f) == 0);
	sb_fini(&b);
}

#define U8(n, from, to) "{\"dtype\":\"U8\",\"shape\":[" n "],\"data_offsets\":[" \
	from "," to "]}"

static void
save_two(void)
{
	t_check(mkdir("m", 0700) == 0);
	save("m/1.safetensors", "{\"__metadata__\":{\"format\":\"pt\"},\"a\":"
	    U8("2", "0", "2") ",\"b\":" U8("3", "2", "5") "}", 5);
	save("m/2.safetensors", "{\"__metadata__\":null,\"c\":"
	    U8("1", "0", "1") "}", 1);
}

static enum rk_err
open_index(const char *text, struct weights **w, struct rk_why *why)
{
	FILE *f = fopen("m/index.json", "wb");

	t_check(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
	return weights_open("m/index.json", NULL, w, why);
}

static struct weights *
opened(const char *text)
{
	struct rk_why why = {0};
	struct weights *w;

	if (open_index(text, &w, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	return w;
}

static void
refused(const char *text, const char *part)
{
	struct rk_why why = {0};
	struct weights *w;

	t_eq_int(open_index(text, &w, &why), RK_EINVAL);
	t_check(w == NULL);
	t_eq_int(why.n, 1);
	t_has(rk_why_first(&why), part);
	rk_why_fini(&why);
}

T_CASE(an_index_gives_the_tensors_of_its_files_in_its_order)
{
	save_two();
	struct weights *w = opened("{\"metadata\":{\"total_size\":6},"
	    "\"weight_map\":{\"c\":\"2.safetensors\",\"a\":\"1.safetensors\","
	    "\"b\":\"1.safetensors\"}}");
	char out[3];

	t_eq_int(w->format, WEIGHTS_SAFETENSORS_INDEX);
	t_eq_int(w->framework, WEIGHTS_FROM_PYTORCH);
	t_eq_int(w->n, 3);
	t_eq_str(w->v[0].name, "c");
	t_eq_str(w->v[2].name, "b");
	t_eq_int(weights_read(&w->v[2], 0, 3, out, NULL), RK_OK);
	t_eq_int(out[0], 2);
	t_eq_int(out[2], 4);
	t_eq_int(w->nnotes, 0);
	weights_free(w);
}

T_CASE(what_an_index_says_wrong_without_harm_is_a_note)
{
	save_two();
	struct weights *w = opened("{\"metadata\":{\"total_size\":7,\"x\":[]},"
	    "\"weight_map\":{\"a\":\"1.safetensors\"}}");

	t_eq_int(w->n, 1);
	t_eq_int(w->nnotes, 2);
	t_has(w->notes[0], "1 tensor of its files is not in the index");
	t_has(w->notes[1], "7 bytes of tensors, there are 2");
	weights_free(w);
	/* A total that is no number is nothing. */
	weights_free(opened("{\"metadata\":{\"total_size\":1.5},"
	    "\"weight_map\":{\"a\":\"1.safetensors\"}}"));
	weights_free(opened("{\"metadata\":null,\"weight_map\":{\"a\":"
	    "\"1.safetensors\"}}"));
}

T_CASE(a_file_that_an_index_names_and_is_not_there_is_named)
{
	save_two();
	refused("{\"weight_map\":{\"a\":\"3.safetensors\"}}",
	    "the index names 3.safetensors, which is not beside it");
}

T_CASE(a_tensor_that_is_in_another_file_is_refused_with_both)
{
	save_two();
	refused("{\"weight_map\":{\"c\":\"1.safetensors\",\"a\":"
	    "\"2.safetensors\"}}", "c: the index says that it is in "
	    "1.safetensors, but it is in 2.safetensors");
	refused("{\"weight_map\":{\"d\":\"1.safetensors\"}}",
	    "does not have it");
}

T_CASE(no_name_of_an_index_leaves_its_folder)
{
	save_two();
	save("secret", "{}", 0);
	static const char *const bad[] = { "../secret", "/etc/passwd",
	    "..", "x/../../secret", "x\\\\secret", ".hidden" };

	for (size_t i = 0; i < RK_ARRAY_LEN(bad); i++) {
		char *text = xasprintf("{\"weight_map\":{\"a\":\"%s\"}}",
		    bad[i]);
		refused(text, "not the name of a file beside the index");
		free(text);
	}
}

T_CASE(an_index_that_is_no_good_is_refused)
{
	save_two();
	refused("{\"weight_map\":{\"a\":1}}", "the name of a file");
	refused("{\"weight_map\":[]}", "want \"{\"");
	refused("{\"weight_map\":{\"a\":\"1.safetensors\",\"a\":"
	    "\"1.safetensors\"}}", "a: is in the index twice");
	refused("{\"weight_map\":{},\"weight_map\":{}}", "only once");
	refused("{\"weight_map\":{\"\":\"1.safetensors\"}}",
	    "a tensor's name of 1 to 512 bytes");
	refused("{\"weight_map\":{\"a\":\"1.safetensors\"}", "");
	refused("{\"metadata\":{}}", "JSON text without a weight_map");
	save("m/2.safetensors", "{\"c\":" U8("1", "0", "1") "}", 0);
	refused("{\"weight_map\":{\"c\":\"2.safetensors\"}}",
	    "2.safetensors: c: its data end");
}

T_CASE(an_index_in_memory_has_no_files_beside_it)
{
	static const char text[] = "{\"weight_map\":{\"a\":\"b\"}}";
	struct rk_why why = {0};
	struct weights *w;

	t_eq_int(weights_open_mem(text, sizeof(text) - 1, NULL, &w, &why),
	    RK_EINVAL);
	rk_why_fini(&why);
}

T_MAIN
