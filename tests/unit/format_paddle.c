/*
 * What paddle.save writes, in its three forms: files as in tests/fuzz/corpus/paddle,
 * which were made with numpy for this project by what Paddle's io.py does, and read
 * with Python's pickle for the values here.
 */
#include <dirent.h>
#include <fcntl.h>

#include "rekindle/format_out.h"
#include "rekindle/format_weights.h"
#include "t.h"

static char *folder;

/* A case runs in a directory of its own. */
__attribute__((constructor)) static void
find_folder(void)
{
	folder = realpath("tests/fuzz/corpus/paddle", NULL);
}

static enum rk_err
open_sample(const char *name, struct weights **w, struct rk_why *why)
{
	char *path = xasprintf("%s/%s", folder, name);
	enum rk_err rc = weights_open(path, NULL, w, why);

	free(path);
	return rc;
}

static struct weights *
opened(const char *name)
{
	struct rk_why why = {0};
	struct weights *w;

	if (open_sample(name, &w, &why) != RK_OK)
		t_fail("%s: %s", name, rk_why_first(&why));
	t_eq_int(w->format, WEIGHTS_PADDLE);
	t_eq_int(w->framework, WEIGHTS_FROM_PADDLE);
	return w;
}

/* weight of the linear layer, [3,4] */
static const float fc_weight[12] = { 1.76405239f, 0.400157213f, 0.978738010f,
	2.24089313f, 1.86755800f, -0.977277875f, 0.950088441f, -0.151357204f,
	-0.103218853f, 0.410598516f, 0.144043565f, 1.45427346f };
static const float fc_bias[4] = { 0.761037707f, 0.121675014f, 0.443863243f,
	0.333674341f };
static const float conv[18] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
	14, 15, 16, 17 };
static const float bn_weight[2] = { 1.49407911f, -0.205158263f };
static const float bn_mean[2] = { -2.55298972f, 0.653618574f };

static const struct {
	const char *name, *alias;
	int ndim;
	int64_t d[4];
	const float *want;              /* NULL: not compared */
} state[] = {
	{ "fc.weight", "linear_0.w_0", 2, { 3, 4 }, fc_weight },
	{ "fc.bias", "linear_0.b_0", 1, { 4 }, fc_bias },
	{ "conv.weight", "conv2d_0.w_0", 4, { 2, 1, 3, 3 }, conv },
	{ "bn.weight", "batch_norm2d_0.w_0", 1, { 2 }, bn_weight },
	{ "bn.bias", "batch_norm2d_0.b_0", 1, { 2 }, NULL },
	{ "bn._mean", "batch_norm2d_0.w_1", 1, { 2 }, NULL },
	{ "bn._variance", "batch_norm2d_0.w_2", 1, { 2 }, NULL },
};

static void
has_floats(const struct weights_tensor *t, const float *want)
{
	float got[32];

	t_check(t->count <= RK_ARRAY_LEN(got));
	t_eq_int(weights_read_f32(t, 0, (size_t)t->count, got, NULL), RK_OK);
	for (size_t i = 0; i < t->count; i++)
		if (memcmp(&got[i], &want[i], 4) != 0)
			t_fail("%s[%zu] is %.9g, want %.9g", t->name, i,
			    (double)got[i], (double)want[i]);
}

static void
has_state(const struct weights *w, enum weights_role role, bool aliases)
{
	for (size_t k = 0; k < RK_ARRAY_LEN(state); k++) {
		const struct weights_tensor *t = weights_find(w, role,
		    state[k].name);
		if (t == NULL)
			t_fail("no %s", state[k].name);
		t_eq_int(t->dtype, DT_F32);
		t_eq_int(t->ndim, state[k].ndim);
		for (int i = 0; i < t->ndim; i++)
			t_eq_int(t->d[i], state[k].d[i]);
		if (aliases)
			t_eq_str(t->alias, state[k].alias);
		if (state[k].want != NULL)
			has_floats(t, state[k].want);
	}
}

T_CASE(a_state_dict_is_the_same_from_each_protocol_and_each_numpy)
{
	static const char *const names[] = { "state_dict_p2.pdparams",
	    "state_dict_p3.pdparams", "state_dict_p4.pdparams",
	    "state_dict_numpy2_p2.pdparams", "state_dict_numpy2_p4.pdparams",
	    "big_param_split_p2.pdparams" };

	for (size_t i = 0; i < RK_ARRAY_LEN(names); i++) {
		struct weights *w = opened(names[i]);
		t_eq_int(w->n, RK_ARRAY_LEN(state));
		has_state(w, WEIGHTS_MODEL, true);
		t_eq_int(w->nnotes, 0);
		weights_free(w);
	}
}

T_CASE(tensors_in_pieces_have_their_place_and_are_read_across_pieces)
{
	struct weights *w = opened("big_param_split_p2.pdparams");
	const struct weights_tensor *t = weights_find(w, WEIGHTS_MODEL,
	    "fc.weight");
	float got[4];

	t_eq_int(t->lie, WEIGHTS_STREAMED);
	/* The first piece has ten elements. */
	t_eq_int(weights_read_f32(t, 8, 4, got, NULL), RK_OK);
	t_check(memcmp(got, fc_weight + 8, sizeof(got)) == 0);
	weights_free(w);
}

T_CASE(a_program_s_dict_has_no_table_of_names)
{
	struct weights *w = opened("static_save_p4.pdparams");

	has_state(w, WEIGHTS_MODEL, false);
	t_check(weights_find(w, WEIGHTS_MODEL, "fc.weight")->alias == NULL);
	weights_free(w);
}

T_CASE(uint16_is_bf16_and_each_other_type_is_itself)
{
	static const struct {
		const char *name;
		enum dtype dtype;
		float first;
	} want[] = {
		{ "f32", DT_F32, 2.26975465f }, { "f16", DT_F16, 1.53320312f },
		{ "bf16_as_u16", DT_BF16, -0.88671875f },
		{ "f64", DT_F64, 1.23029065f }, { "i64", DT_I64, 1 },
		{ "i32", DT_I32, 1 }, { "i16", DT_I16, 1 }, { "i8", DT_I8, 1 },
		{ "u8", DT_U8, 1 }, { "bool", DT_BOOL, 1 },
		{ "scalar0d", DT_F32, 3.5f },
	};

	for (int p = 2; p <= 4; p += 2) {
		struct weights *w = opened(p == 2 ? "dtypes_p2.pdparams" :
		    "dtypes_p4.pdparams");
		for (size_t i = 0; i < RK_ARRAY_LEN(want); i++) {
			const struct weights_tensor *t = weights_find(w,
			    WEIGHTS_MODEL, want[i].name);
			float f;
			if (t == NULL)
				t_fail("no %s", want[i].name);
			t_eq_int(t->dtype, want[i].dtype);
			t_eq_int(weights_read_f32(t, 0, 1, &f, NULL), RK_OK);
			t_near(f, want[i].first, 1e-6);
		}
		t_eq_int(weights_find(w, WEIGHTS_MODEL, "empty")->count, 0);
		t_eq_int(weights_find(w, WEIGHTS_MODEL, "c64")->dtype, DT_C64);
		t_eq_int(weights_find(w, WEIGHTS_MODEL, "c128")->dtype,
		    DT_C128);
		weights_free(w);
	}
}

T_CASE(arrays_of_other_orders_are_read_in_c_order)
{
	struct weights *w = opened("fortran_order_p4.pdparams");
	const struct weights_tensor *t = weights_find(w, WEIGHTS_MODEL,
	    "fc.weight");
	float want[12];

	t_eq_int(t->d[0], 4);
	t_eq_int(t->d[1], 3);
	for (int i = 0; i < 12; i++)
		want[i] = fc_weight[i % 3 * 4 + i / 3];
	has_floats(t, want);
	weights_free(w);
	w = opened("big_endian_p4.pdparams");
	has_floats(weights_find(w, WEIGHTS_MODEL, "a"),
	    (const float[]){ 0, 1, 2, 3 });
	weights_free(w);
}

static const struct weights_tensor *
state_of(const struct weights *w, const char *of, const char *slot)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->v[i].role == WEIGHTS_OPTIMIZER && w->v[i].of != NULL &&
		    strcmp(w->v[i].of, of) == 0 &&
		    strcmp(w->v[i].slot, slot) == 0)
			return &w->v[i];
	t_fail("no %s of %s", slot, of);
}

static void
is_adam(const struct weights *w)
{
	double f;

	t_eq_int(state_of(w, "linear_0.w_0", "moment1")->ndim, 2);
	(void)state_of(w, "linear_0.w_0", "moment2");
	(void)state_of(w, "linear_0.b_0", "beta1_pow_acc");
	const struct weights_tensor *t = state_of(w, "linear_0.b_0",
	    "beta2_pow_acc");
	t_check(weights_number(w, t->path, &f));
	t_near(f, 0.992, 0.01);
}

T_CASE(an_optimiser_s_file_is_the_state_of_parameters)
{
	static const struct {
		const char *name, *path;
		double last_epoch;
	} want[] = {
		{ "adam_p4.pdopt", "LR_Scheduler.last_epoch", 7 },
		{ "paddleclas_list_p4.pdopt", "0.LR_Scheduler.last_epoch", 7 },
		{ "paddledet_last_epoch_p4.pdopt", "last_epoch", 12 },
		{ "adam_master_weights_p4.pdopt", "LR_Scheduler.last_epoch",
		    7 },
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(want); i++) {
		struct weights *w = opened(want[i].name);
		double f;
		t_check(w->model == NULL);
		t_check(w->optimizer != NULL);
		is_adam(w);
		for (size_t k = 0; k < w->n; k++)
			t_eq_int(w->v[k].role, WEIGHTS_OPTIMIZER);
		if (!weights_number(w, want[i].path, &f))
			t_fail("%s: no %s", want[i].name, want[i].path);
		weights_free(w);
	}
}

T_CASE(weights_of_higher_precision_are_a_parameter_s_state)
{
	struct weights *w = opened("adam_master_weights_p4.pdopt");

	t_eq_str(state_of(w, "linear_0.w_0", "master_weights")->alias,
	    "linear_0.w_0_fp32_master_0");
	weights_free(w);
}

T_CASE(a_checkpoint_of_dicts_has_a_model_and_an_optimiser)
{
	for (int p = 2; p <= 4; p += 2) {
		struct weights *w = opened(p == 2 ? "nested_p2.pdparams" :
		    "nested_p4.pdparams");
		double f;
		t_eq_str(w->model, "model");
		t_check(weights_find(w, WEIGHTS_MODEL, "fc.weight") != NULL);
		if (p == 4) {
			has_state(w, WEIGHTS_MODEL, false);
			t_eq_str(weights_find(w, WEIGHTS_MODEL, "fc.weight")->
			    alias, "x.fc.weight");
			t_eq_str(w->optimizer, "opt");
			is_adam(w);
		}
		t_check(weights_number(w, "epoch", &f));
		weights_free(w);
	}
}

T_CASE(a_tensor_alone_has_its_parameter_s_name)
{
	struct weights *w = opened("single_tensor_p4.pdtensor");

	t_eq_int(w->n, 1);
	t_eq_str(w->v[0].name, "linear_0.w_0");
	has_floats(&w->v[0], fc_weight);
	weights_free(w);
}

T_CASE(metrics_are_numbers_and_no_tensors)
{
	struct weights *w = opened("ppcls_p4.pdstates");
	double f;

	t_eq_int(w->n, 0);
	t_check(weights_number(w, "epoch", &f) && f == 2);
	t_check(weights_number(w, "metric", &f) && f == 0.75);
	t_check(weights_number(w, "top1", &f) && f == 0.5);
	weights_free(w);
}

T_CASE(bytes_behind_the_pickle_are_a_note)
{
	struct weights *w = opened("WARN_trailing_garbage.pdparams");

	has_state(w, WEIGHTS_MODEL, true);
	t_eq_int(w->nnotes, 1);
	t_has(w->notes[0], "7 bytes after the end of the pickle are not");
	weights_free(w);
}

T_CASE(each_bad_sample_is_refused_with_one_sentence_and_each_other_is_read)
{
	static const struct {
		const char *name, *part;
	} want[] = {
		{ "BAD_empty.pdparams", "empty file" },
		{ "BAD_os_system_p2.pdparams", "system" },
		{ "BAD_os_system_p4.pdparams", "system" },
		{ "BAD_reduce_LoDTensor_eval_p4.pdparams", "eval" },
		{ "BAD_text_int_proto0.pdparams", "protocol 0" },
		{ "BAD_structured_dtype_p4.pdparams", "a:" },
		{ "BAD_negative_dim.pdparams", "negative" },
		{ "BAD_shape_bytes_mismatch.pdparams", "fc.weight" },
		{ "BAD_key_not_string.pdparams", "want a name" },
		{ "WARN_duplicate_key.pdparams", "twice" },
	};
	DIR *d = opendir(folder);
	int good = 0, bad = 0;

	t_check(d != NULL);
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		struct rk_why why = {0};
		struct weights *w = NULL;
		bool ok = strncmp(e->d_name, "BAD_", 4) != 0 &&
		    strcmp(e->d_name, "WARN_duplicate_key.pdparams") != 0;
		if (strncmp(e->d_name, "fuzz", 4) == 0 || e->d_name[0] == '.')
			continue;
		enum rk_err rc = open_sample(e->d_name, &w, &why);
		if (ok != (rc == RK_OK) || why.n != !ok)
			t_fail("%s: %s", e->d_name, rk_why_first(&why));
		for (size_t i = 0; i < RK_ARRAY_LEN(want); i++)
			if (strcmp(want[i].name, e->d_name) == 0)
				t_has(rk_why_first(&why), want[i].part);
		*(ok ? &good : &bad) += 1;
		weights_free(w);
		rk_why_fini(&why);
	}
	closedir(d);
	t_check(good >= 18 && bad >= 14);
}

/* --- written here -------------------------------------------------------------- */

static enum rk_err
put_mem(void *ctx, const void *p, size_t n, struct rk_why *why)
{
	(void)why;
	sb_add(ctx, p, n);
	return RK_OK;
}

static struct weights *
read_back(struct strbuf *b, const struct format_out_tensor *v, size_t n)
{
	const struct format_sink to = { put_mem, b };
	struct rk_why why = {0};
	struct weights *w;

	t_eq_int(format_out_paddle(&to, v, n, NULL, NULL, NULL), RK_OK);
	if (weights_open_mem(b->s, b->len, NULL, &w, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	return w;
}

#define OF(a, n) DT_F32, 1, { n }, format_read_memory, a

/* nn.LSTM lists its parameters by its own names and by its cells'. */
T_CASE(two_names_of_one_parameter_are_one_tensor_where_they_are_equal)
{
	const struct format_out_tensor v[] = {
		{ "0.cell.weight_ih", "lstm_cell_0.w_0", OF(conv, 18) },
		{ "weight_ih_l0", "lstm_cell_0.w_0", OF(conv, 18) },
		{ "fc", "linear_0.w_0", OF(fc_weight, 12) },
	};
	struct strbuf b = {0};
	struct weights *w = read_back(&b, v, 3);

	t_eq_int(w->n, 3);
	t_eq_int(w->v[0].same_as, -1);
	t_eq_int(w->v[1].same_as, 0);
	t_eq_int(w->v[2].same_as, -1);
	t_eq_int(w->nnotes, 1);
	t_has(w->notes[0], "1 tensor is there under two names, such as "
	    "\"0.cell.weight_ih\" and \"weight_ih_l0\"");
	weights_free(w);
	sb_fini(&b);
}

T_CASE(two_names_of_one_parameter_that_differ_are_two_and_a_note_says_so)
{
	const struct format_out_tensor v[] = {
		{ "0.cell.bias_ih", "lstm_cell_0.b_0", OF(bn_weight, 2) },
		{ "bias_ih_l0", "lstm_cell_0.b_0", OF(bn_mean, 2) },
	};
	struct strbuf b = {0};
	struct weights *w = read_back(&b, v, 2);

	t_eq_int(w->v[1].same_as, -1);
	t_eq_int(w->nnotes, 1);
	t_has(w->notes[0], "are one parameter of Paddle's (lstm_cell_0.b_0), "
	    "and differ");
	weights_free(w);
	sb_fini(&b);
}

/* As paddle.static.save of what persists: both in one dict. */
T_CASE(accumulators_among_the_parameters_are_their_optimiser_s_state)
{
	const struct format_out_tensor v[] = {
		{ "linear_0.w_0", NULL, OF(fc_weight, 12) },
		{ "linear_0.w_0_moment1_0", NULL, OF(conv, 12) },
		{ "linear_0.w_0_fp32_master_0_moment2_0", NULL, OF(conv, 12) },
		{ "linear_0.w_0_mine_velocity_3", NULL, OF(conv, 12) },
		/* A name like one's, whose parameter is not there. */
		{ "other_moment1_0", NULL, OF(fc_bias, 4) },
	};
	struct strbuf b = {0};
	struct weights *w = read_back(&b, v, 5);

	t_eq_int(w->v[0].role, WEIGHTS_MODEL);
	t_eq_str(w->v[1].of, "linear_0.w_0");
	t_eq_str(w->v[2].of, "linear_0.w_0");
	t_eq_str(w->v[2].slot, "moment2");
	t_eq_str(w->v[3].of, "linear_0.w_0");
	t_eq_str(w->v[3].slot, "velocity");
	for (int i = 1; i < 4; i++)
		t_eq_int(w->v[i].role, WEIGHTS_OPTIMIZER);
	t_eq_int(w->v[4].role, WEIGHTS_MODEL);
	t_check(w->v[4].of == NULL);
	weights_free(w);
	sb_fini(&b);
}

#define PUT(b, text) sb_add(b, text, sizeof(text) - 1)

/* Three floats in protocol 2, their bytes as a text; c is the last of them. */
static void
put_old(struct strbuf *b, const char *name, char c)
{
	PUT(b, "X\1\0\0\0");
	sb_adds(b, name);
	PUT(b, "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
	    "(K\0tc_codecs\nencode\n(X\1\0\0\0bX\6\0\0\0latin1tR\x87R"
	    "(K\1(K\3tcnumpy\ndtype\nX\2\0\0\0f4\x89\x88\x87R"
	    "(K\3X\1\0\0\0<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
	    "\x89" "c_codecs\nencode\n(X\x0d\0\0\0"
	    "\0\0\xc2\x80?\0\0\0@\0\0\0");
	sb_addc(b, c);
	PUT(b, "X\6\0\0\0latin1tRtb");
}

T_CASE(two_names_in_a_pickle_of_protocol_2_are_compared_as_well)
{
	for (int differ = 0; differ < 2; differ++) {
		struct rk_why why = {0};
		struct strbuf b = {0};
		struct weights *w;
		PUT(&b, "\x80\2}(");
		put_old(&b, "a", 'A');
		put_old(&b, "b", differ ? 'B' : 'A');
		PUT(&b, "X\x1b\0\0\0" "StructuredToParameterName@@}(");
		PUT(&b, "X\1\0\0\0aX\1\0\0\0p");
		PUT(&b, "X\1\0\0\0bX\1\0\0\0puu.");
		if (weights_open_mem(b.s, b.len, NULL, &w, &why) != RK_OK)
			t_fail("%s", rk_why_first(&why));
		t_eq_int(w->n, 2);
		t_eq_int(w->v[0].lie, WEIGHTS_STREAMED);
		t_eq_int(w->v[1].same_as, differ ? -1 : 0);
		weights_free(w);
		sb_fini(&b);
	}
}

T_CASE(thousands_of_tensors_are_read_back_with_their_names)
{
	const size_t n = 3000;
	struct format_out_tensor *v = xcalloc(n, sizeof(*v));
	char *names = xmalloc(n * 32);
	struct strbuf b = {0};

	for (size_t i = 0; i < n; i++) {
		char *name = names + 32 * i;
		snprintf(name, 16, "l%zu.weight", i);
		snprintf(name + 16, 16, "l_%zu.w_0", n - i);
		v[i] = (struct format_out_tensor){ name, name + 16,
		    OF(conv + i % 17, 1) };
	}
	struct weights *w = read_back(&b, v, n);
	t_eq_int(w->n, n);
	for (size_t i = 0; i < n; i++) {
		float f;
		t_eq_str(w->v[i].name, v[i].name);
		t_eq_str(w->v[i].alias, v[i].alias);
		t_eq_int(weights_read_f32(&w->v[i], 0, 1, &f, NULL), RK_OK);
		t_check(f == conv[i % 17]);
	}
	weights_free(w);
	sb_fini(&b);
	free(names);
	free(v);
}

/* --- pieces -------------------------------------------------------------------- */

/* big_param_split_p2 with one byte or text changed. */
static void
refused_pieces(const char *from, const char *to, const char *part)
{
	char *path = xasprintf("%s/big_param_split_p2.pdparams", folder);
	struct rk_why why = {0};
	struct weights *w;
	char *p;
	size_t n;

	t_eq_int(rk_read_file(AT_FDCWD, path, 1 << 20, &p, &n), RK_OK);
	char *at = memmem(p, n, from, strlen(from));
	t_check(at != NULL);
	memcpy(at, to, strlen(from));
	t_eq_int(weights_open_mem(p, n, NULL, &w, &why), RK_EINVAL);
	t_has(rk_why_first(&why), part);
	rk_why_fini(&why);
	free(path);
	free(p);
}

T_CASE(pieces_that_do_not_make_the_tensor_are_refused)
{
	refused_pieces("OriginShapeqmK\3K\4", "OriginShapeqmK\3K\5",
	    "fc.weight");
	refused_pieces("OriginShapeqmK\3K\4", "OriginShapeqmK\3K\3",
	    "fc.weight");
	refused_pieces("OriginShapeqm", "ariginShapeqm", "no OriginShape");
	refused_pieces("h\106hOe", "h\106h=e", "the piece 1 of \"fc.weight\"");
}

T_MAIN
