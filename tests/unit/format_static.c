/* Paddle's raw tensors, and the names that lie beside them. */
#include <sys/stat.h>

#include "rekindle/format_weights.h"
#include "t.h"

static void
put_le(struct strbuf *b, uint64_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		sb_addc(b, (char)(v >> 8 * i & 0xff));
}

/* A record of floats 0, 1, 2, ...; type 5 is FP32. */
static void
put_record(struct strbuf *b, int type, int ndim, const int *d)
{
	int n = 1;

	put_le(b, 0, 4);
	put_le(b, 0, 8);
	put_le(b, 0, 4);
	put_le(b, 2 + 2 * (uint64_t)ndim, 4);
	sb_addc(b, 0x08);
	sb_addc(b, (char)type);
	for (int i = 0; i < ndim; i++) {
		sb_addc(b, 0x10);
		sb_addc(b, (char)d[i]);
		n *= d[i];
	}
	for (int i = 0; i < n; i++) {
		const float f = (float)i;
		sb_add(b, &f, sizeof(f));
	}
}

static struct strbuf
two_records(void)
{
	struct strbuf b = {0};

	put_record(&b, 5, 1, (const int[]){ 3 });
	put_record(&b, 5, 2, (const int[]){ 2, 3 });
	return b;
}

static struct weights *
opened(const struct strbuf *b)
{
	struct rk_why why = {0};
	struct weights *w;

	if (weights_open_mem(b->s, b->len, NULL, &w, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	return w;
}

static void
refused(const struct strbuf *b, const char *part)
{
	struct rk_why why = {0};
	struct weights *w;

	t_eq_int(weights_open_mem(b->s, b->len, NULL, &w, &why), RK_EINVAL);
	t_check(w == NULL);
	t_eq_int(why.n, 1);
	t_has(rk_why_first(&why), part);
	rk_why_fini(&why);
}

T_CASE(tensors_without_names_are_numbered_and_a_note_says_so)
{
	struct strbuf b = two_records();
	struct weights *w = opened(&b);
	float f;

	t_eq_int(w->format, WEIGHTS_PADDLE_STATIC);
	t_eq_int(w->framework, WEIGHTS_FROM_PADDLE);
	t_eq_int(w->n, 2);
	t_eq_str(w->v[0].name, "0");
	t_eq_str(w->v[1].name, "1");
	t_eq_int(w->v[1].ndim, 2);
	t_eq_int(w->v[1].lie, WEIGHTS_MAPPED);
	t_eq_int(weights_read_f32(&w->v[1], 5, 1, &f, NULL), RK_OK);
	t_check(f == 5);
	t_eq_int(w->nnotes, 1);
	t_has(w->notes[0], "numbered");
	weights_free(w);
	sb_fini(&b);
}

T_CASE(records_of_paddle_that_are_cut_off_or_damaged_are_refused_by_number)
{
	struct strbuf whole = two_records();

	for (size_t n = 30; n < whole.len; n++) {
		struct strbuf cut = { .s = whole.s, .len = n };
		/* Behind the first record, whose floats end at byte 36. */
		if (n != 36)
			refused(&cut, n < 36 ? "tensor 1 of the file" :
			    "tensor 2 of the file");
	}
	whole.s[36] = 1;
	refused(&whole, "tensor 2 of the file, at byte 36, has a version");
	whole.s[36] = 0;
	whole.s[40] = 9;
	refused(&whole, "more levels");
	whole.s[40] = 0;
	whole.s[56] = 0x18;             /* another field than data_type */
	refused(&whole, "no TensorDesc");
	whole.s[56] = 0x08;
	whole.s[57] = 32;
	refused(&whole, "Paddle's type 32 (FP8_E4M3FN)");
	whole.s[57] = 5;
	whole.s[59] = (char)0x7f;
	refused(&whole, "wants 1524 more bytes");
	sb_fini(&whole);
}

T_CASE(dimensions_that_cannot_be_are_refused)
{
	static const char over[] = "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x15\0\0\0"
	    "\x08\x05\x10\xff\xff\xff\xff\xff\xff\xff\xff\x7f"
	    "\x10\xff\xff\xff\xff\xff\xff\xff\x0f";
	static const char negative[] = "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
	    "\x0d\0\0\0\x08\x05\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
	struct strbuf b = {0};

	sb_add(&b, over, sizeof(over) - 1);
	refused(&b, "more elements than can be counted");
	sb_reset(&b);
	sb_add(&b, negative, sizeof(negative) - 1);
	refused(&b, "negative dimension");
	sb_fini(&b);
}

/* --- names ------------------------------------------------------------------ */

static void
put_field(struct strbuf *b, int number, const struct strbuf *v)
{
	must(v->len < 128);
	sb_addc(b, (char)(number << 3 | 2));
	sb_addc(b, (char)v->len);
	sb_add(b, sb_str(v), v->len);
}

/* A VarDesc of the program's first block. */
static void
put_variable(struct strbuf *block, const char *name, int ndim, const int *d,
    bool stays)
{
	struct strbuf desc = {0}, tensor = {0}, type = {0}, lod = {0};
	struct strbuf var = {0};

	sb_addc(&desc, 0x08);
	sb_addc(&desc, 5);
	for (int i = 0; i < ndim; i++) {
		sb_addc(&desc, 0x10);
		sb_addc(&desc, (char)d[i]);
	}
	put_field(&lod, 1, &desc);
	sb_addc(&type, 0x08);
	sb_addc(&type, 7);
	put_field(&type, 3, &lod);
	sb_adds(&tensor, name);
	put_field(&var, 1, &tensor);
	put_field(&var, 2, &type);
	sb_addc(&var, 0x18);
	sb_addc(&var, stays);
	put_field(block, 3, &var);
	sb_fini(&desc);
	sb_fini(&tensor);
	sb_fini(&type);
	sb_fini(&lod);
	sb_fini(&var);
}

static void
save(const char *path, const struct strbuf *b)
{
	FILE *f = fopen(path, "wb");

	t_check(f != NULL && fwrite(b->s, 1, b->len, f) == b->len);
	t_check(fclose(f) == 0);
}

/* Block 0: idx 0, parent -1, variables. */
static void
save_program(const char *path, const char *weight, int rows)
{
	struct strbuf block = {0}, program = {0};

	sb_add(&block, "\x08\0\x10\0", 4);
	put_variable(&block, weight, 2, (const int[]){ rows, 3 }, true);
	put_variable(&block, "relu_0.tmp_0", 1, (const int[]){ 3 }, false);
	put_variable(&block, "linear_0.b_0", 1, (const int[]){ 3 }, true);
	sb_addc(&program, 0x0a);
	sb_addc(&program, (char)((block.len & 0x7f) | 0x80));
	sb_addc(&program, (char)(block.len >> 7));
	sb_add(&program, block.s, block.len);
	save(path, &program);
	sb_fini(&block);
	sb_fini(&program);
}

static struct weights *
opened_file(const char *path)
{
	struct rk_why why = {0};
	struct weights *w;

	if (weights_open(path, NULL, &w, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	return w;
}

T_CASE(names_come_from_the_program_beside)
{
	struct strbuf b = two_records();

	save("m.pdiparams", &b);
	save_program("m.pdmodel", "linear_0.w_0", 2);
	struct weights *w = opened_file("m.pdiparams");
	t_eq_str(w->v[0].name, "linear_0.b_0");
	t_eq_str(w->v[1].name, "linear_0.w_0");
	t_eq_str(w->v[1].alias, "linear_0.w_0");
	t_eq_int(w->nnotes, 0);
	weights_free(w);
	sb_fini(&b);
}

T_CASE(a_program_of_other_shapes_gives_no_names)
{
	struct strbuf b = two_records();

	save("m.pdiparams", &b);
	save_program("m.pdmodel", "linear_0.w_0", 4);
	struct weights *w = opened_file("m.pdiparams");
	t_eq_str(w->v[0].name, "0");
	t_has(w->notes[0], "do not name");
	weights_free(w);
	sb_fini(&b);
}

/* {'linear_0.b_0': {'structured_name': 'fc.bias'}, ...} */
static void
save_info(const char *path)
{
	struct strbuf b = {0};

	sb_adds(&b, "\x80\2}(");
	put_le(&b, 'X', 1);
	put_le(&b, 12, 4);
	sb_adds(&b, "linear_0.w_0}");
	put_le(&b, 'X', 1);
	put_le(&b, 15, 4);
	sb_adds(&b, "structured_name");
	put_le(&b, 'X', 1);
	put_le(&b, 9, 4);
	sb_adds(&b, "fc.weights");
	put_le(&b, 'X', 1);
	put_le(&b, 12, 4);
	sb_adds(&b, "linear_0.b_0}");
	sb_adds(&b, "u.");
	save(path, &b);
	sb_fini(&b);
}

T_CASE(structured_names_come_from_the_info_beside)
{
	struct strbuf b = two_records();

	save("m.pdiparams", &b);
	save_info("m.pdiparams.info");
	for (int program = 0; program < 2; program++) {
		if (program)
			save_program("m.pdmodel", "linear_0.w_0", 2);
		struct weights *w = opened_file("m.pdiparams");
		t_eq_str(w->v[1].name, "fc.weight");
		t_eq_str(w->v[1].alias, "linear_0.w_0");
		t_eq_str(w->v[0].name, "linear_0.b_0");
		weights_free(w);
	}
	sb_fini(&b);
}

/* As paddle.jit.save of Paddle 3.3 has it, shortened. */
T_CASE(names_come_from_a_program_of_paddle_3_beside)
{
	static const char text[] = "{\"base_code\":{\"magic\":\"pir\"},"
	    "\"program\":{\"regions\":[{\"#\":\"region_0\",\"blocks\":[{"
	    "\"ops\":[{\"#\":\"p\",\"A\":[0,1,1,\"linear_0.w_0\"],\"O\":{"
	    "\"TT\":{\"#\":\"0.t_dtensor\",\"D\":[{\"#\":\"0.t_f32\"},"
	    "[2,3],\"NCHW\",[],0]}}},{\"#\":\"p\",\"A\":[0,1,1,"
	    "\"linear_0.b_0\"],\"O\":{\"TT\":{\"D\":[{},[3]]}}},{\"#\":"
	    "\"1.data\",\"A\":[{\"N\":\"name\"}]}]}]}]}}";
	struct strbuf b = two_records(), other = {0};

	save("m.pdiparams", &b);
	sb_adds(&other, text);
	save("m.json", &other);
	struct weights *w = opened_file("m.pdiparams");
	t_eq_str(w->v[0].name, "linear_0.b_0");
	t_eq_str(w->v[1].name, "linear_0.w_0");
	weights_free(w);
	/* What is no such program names nothing. */
	static const char *const odd[] = { "{\"program\":7}", "{", "[]",
	    ("{\"program\":{\"regions\":[{\"blocks\":[{\"ops\":[{\"#\":"
	    "\"p\",\"A\":7},[],{\"#\":\"p\",\"A\":[0,1,1,2]}]}]}]}}") };
	for (size_t i = 0; i < RK_ARRAY_LEN(odd); i++) {
		sb_reset(&other);
		sb_adds(&other, odd[i]);
		save("m.json", &other);
		w = opened_file("m.pdiparams");
		t_eq_str(w->v[0].name, "0");
		t_has(w->notes[0], "do not name");
		weights_free(w);
	}
	sb_fini(&b);
	sb_fini(&other);
}

T_CASE(an_info_of_other_variables_gives_no_names)
{
	struct strbuf b = {0};

	put_record(&b, 5, 1, (const int[]){ 3 });
	save("m.pdiparams", &b);
	save_info("m.pdiparams.info");
	struct weights *w = opened_file("m.pdiparams");
	t_eq_str(w->v[0].name, "0");
	weights_free(w);
	sb_fini(&b);
}

T_CASE(names_are_in_the_tar_where_the_tensors_are_in_one)
{
	struct weights_how how = WEIGHTS_HOW;
	struct strbuf b = two_records();
	struct rk_why why = {0};
	struct weights *w;

	t_check(mkdir("inference", 0700) == 0);
	save("inference/m.pdiparams", &b);
	save_program("inference/m.pdmodel", "linear_0.w_0", 2);
	t_check(system("tar cf m.tar inference && rm -r inference") == 0);
	how.member = "inference/m.pdiparams";
	t_eq_int(weights_open("m.tar", &how, &w, &why), RK_OK);
	t_eq_str(w->v[1].name, "linear_0.w_0");
	weights_free(w);
	how.member = "inference/n.pdiparams";
	t_eq_int(weights_open("m.tar", &how, &w, &why), RK_EINVAL);
	t_has(rk_why_first(&why), "has no file \"inference/n.pdiparams\"; there "
	    "is \"inference/m.pdiparams\"");
	rk_why_fini(&why);
	sb_fini(&b);
}

T_CASE(a_program_is_no_file_of_weights)
{
	struct strbuf b = {0};
	struct rk_why why = {0};
	struct weights *w;
	char bytes[512];

	save_program("m.pdmodel", "linear_0.w_0", 2);
	FILE *f = fopen("m.pdmodel", "rb");
	const size_t n = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	t_eq_int(weights_open_mem(bytes, n, NULL, &w, &why), RK_EINVAL);
	t_has(rk_why_first(&why), "a program of Paddle");
	rk_why_fini(&why);
	sb_fini(&b);
}

T_MAIN
