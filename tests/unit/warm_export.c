/* What a model's tensors are called in other frameworks' files, and how they lie. */
#include "rekindle/warm_export.h"
#include "t.h"

#define DIMS(...) (int)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), \
	{ __VA_ARGS__ }

static void
table(const struct warm_export *e, struct strbuf *b)
{
	char shape[TENSOR_SHAPE_TEXT];

	for (size_t i = 0; i < e->n; i++)
		sb_addf(b, "%s %s %lld %s%s\n", e->v[i].name,
		    e->v[i].alias != NULL ? e->v[i].alias : "-",
		    (long long)e->v[i].own, tensor_shape_text(shape,
		    e->v[i].ndim, e->v[i].d), e->v[i].turned ? " turned" : "");
}

static void
says(enum warm_target to, const struct warm_own *v, size_t n, const char *want)
{
	struct warm_export *e = warm_export_new(to, v, n);
	struct strbuf b = { 0 };

	table(e, &b);
	t_eq_str(sb_str(&b), want);
	sb_fini(&b);
	warm_export_free(e);
}

#define NORM(name, c, layer) \
	{ name ".weight", DIMS(c), layer, false }, \
	{ name ".bias", DIMS(c), layer, false }
#define RUNNING(name, c, layer, mean, var) \
	{ name "." mean, DIMS(c), layer, true }, \
	{ name "." var, DIMS(c), layer, true }

/* Parameters, then buffers, as a network has them. */
static const struct warm_own small[] = {
	{ "conv.weight", DIMS(4, 1, 3, 3), WARM_LAYER_CONV2D, false },
	{ "conv.bias", DIMS(4), WARM_LAYER_CONV2D, false },
	NORM("bn", 4, WARM_LAYER_BATCH_NORM2D),
	{ "words.weight", DIMS(9, 4), WARM_LAYER_EMBEDDING, false },
	{ "fc1.weight", DIMS(5, 4), WARM_LAYER_LINEAR, false },
	{ "fc1.bias", DIMS(5), WARM_LAYER_LINEAR, false },
	NORM("ln", 5, WARM_LAYER_LAYER_NORM),
	{ "fc2.weight", DIMS(5, 5), WARM_LAYER_LINEAR, false },
	RUNNING("bn", 4, WARM_LAYER_BATCH_NORM2D, "running_mean",
	    "running_var"),
};

T_CASE(paddle_has_linear_layers_the_other_way_round_and_a_second_name_for_each)
{
	says(WARM_TO_PADDLE, small, RK_ARRAY_LEN(small),
	    "conv.weight conv2d_0.w_0 0 [4,1,3,3]\n"
	    "conv.bias conv2d_0.b_0 1 [4]\n"
	    "bn.weight batch_norm2d_0.w_0 2 [4]\n"
	    "bn.bias batch_norm2d_0.b_0 3 [4]\n"
	    "bn._mean batch_norm2d_0.w_1 10 [4]\n"
	    "bn._variance batch_norm2d_0.w_2 11 [4]\n"
	    "words.weight embedding_0.w_0 4 [9,4]\n"
	    "fc1.weight linear_0.w_0 5 [4,5] turned\n"
	    "fc1.bias linear_0.b_0 6 [5]\n"
	    "ln.weight layer_norm_0.w_0 7 [5]\n"
	    "ln.bias layer_norm_0.b_0 8 [5]\n"
	    "fc2.weight linear_1.w_0 9 [5,5] turned\n");
}

T_CASE(pytorch_has_what_counts_batches_behind_the_statistics)
{
	static const char want[] =
	    "conv.weight - 0 [4,1,3,3]\n"
	    "conv.bias - 1 [4]\n"
	    "bn.weight - 2 [4]\n"
	    "bn.bias - 3 [4]\n"
	    "bn.running_mean - 10 [4]\n"
	    "bn.running_var - 11 [4]\n"
	    "bn.num_batches_tracked - -1 []\n"
	    "words.weight - 4 [9,4]\n"
	    "fc1.weight - 5 [5,4]\n"
	    "fc1.bias - 6 [5]\n"
	    "ln.weight - 7 [5]\n"
	    "ln.bias - 8 [5]\n"
	    "fc2.weight - 9 [5,5]\n";

	says(WARM_TO_PYTORCH, small, RK_ARRAY_LEN(small), want);
	says(WARM_TO_SAFETENSORS, small, RK_ARRAY_LEN(small), want);
}

T_CASE(statistics_are_called_as_the_target_calls_them_whatever_the_model_does)
{
	static const struct warm_own paddle[] = {
		NORM("a", 2, WARM_LAYER_BATCH_NORM),
		NORM("b", 2, WARM_LAYER_BATCH_NORM1D),
		NORM("c", 2, WARM_LAYER_BATCH_NORM),
		RUNNING("a", 2, WARM_LAYER_BATCH_NORM, "_mean", "_variance"),
	};

	says(WARM_TO_PYTORCH, paddle, RK_ARRAY_LEN(paddle),
	    "a.weight - 0 [2]\na.bias - 1 [2]\na.running_mean - 6 [2]\n"
	    "a.running_var - 7 [2]\na.num_batches_tracked - -1 []\n"
	    "b.weight - 2 [2]\nb.bias - 3 [2]\n"
	    "c.weight - 4 [2]\nc.bias - 5 [2]\n");
	says(WARM_TO_PADDLE, paddle, RK_ARRAY_LEN(paddle),
	    "a.weight batch_norm_0.w_0 0 [2]\na.bias batch_norm_0.b_0 1 [2]\n"
	    "a._mean batch_norm_0.w_1 6 [2]\n"
	    "a._variance batch_norm_0.w_2 7 [2]\n"
	    "b.weight batch_norm1d_0.w_0 2 [2]\n"
	    "b.bias batch_norm1d_0.b_0 3 [2]\n"
	    "c.weight batch_norm_1.w_0 4 [2]\n"
	    "c.bias batch_norm_1.b_0 5 [2]\n");
}

/* paddle.vision's _make_layer() makes `downsample` before the block. */
T_CASE(a_shortcut_is_counted_before_the_block_that_it_is_of)
{
	static const struct warm_own block[] = {
		{ "conv1.weight", DIMS(1), WARM_LAYER_CONV2D, false },
		{ "layer1.0.conv1.weight", DIMS(1), WARM_LAYER_CONV2D, false },
		{ "layer1.0.conv2.weight", DIMS(1), WARM_LAYER_CONV2D, false },
		{ "layer1.0.downsample.0.weight", DIMS(1), WARM_LAYER_CONV2D,
		    false },
		{ "layer1.1.conv1.weight", DIMS(1), WARM_LAYER_CONV2D, false },
		{ "layer2.0.conv1.weight", DIMS(1), WARM_LAYER_CONV2D, false },
		{ "layer2.0.downsample.0.weight", DIMS(1), WARM_LAYER_CONV2D,
		    false },
	};

	says(WARM_TO_PADDLE, block, RK_ARRAY_LEN(block),
	    "conv1.weight conv2d_0.w_0 0 [1]\n"
	    "layer1.0.conv1.weight conv2d_2.w_0 1 [1]\n"
	    "layer1.0.conv2.weight conv2d_3.w_0 2 [1]\n"
	    "layer1.0.downsample.0.weight conv2d_1.w_0 3 [1]\n"
	    "layer1.1.conv1.weight conv2d_4.w_0 4 [1]\n"
	    "layer2.0.conv1.weight conv2d_6.w_0 5 [1]\n"
	    "layer2.0.downsample.0.weight conv2d_5.w_0 6 [1]\n");
}

T_CASE(what_is_of_no_known_layer_keeps_its_name_and_has_no_second)
{
	static const struct warm_own odd[] = {
		{ "weight", DIMS(3, 2), WARM_LAYER_LINEAR, false },
		{ "gate.scale", DIMS(3), WARM_LAYER_CONV2D, false },
		{ "x.weight", DIMS(3, 2), WARM_LAYER_OTHER, false },
		{ "x._mean", DIMS(3), WARM_LAYER_OTHER, true },
	};

	says(WARM_TO_PADDLE, odd, RK_ARRAY_LEN(odd),
	    "weight linear_0.w_0 0 [2,3] turned\ngate.scale - 1 [3]\n"
	    "x.weight - 2 [3,2]\nx._mean - 3 [3]\n");
	says(WARM_TO_PYTORCH, odd, 0, "");
}

T_CASE(what_a_matrix_is_its_names_tell_or_nobody)
{
	t_eq_int(warm_told("fc.weight", "linear_0.w_0", 2), WARM_TOLD_LINEAR);
	t_eq_int(warm_told("fc.weight", "linear_12.w_0", 2), WARM_TOLD_LINEAR);
	t_eq_int(warm_told("x.weight", "embedding_3.w_0", 2), WARM_TOLD_OTHER);
	t_eq_int(warm_told("x.weight", "lstm_cell_0.w_1", 2), WARM_TOLD_OTHER);
	t_eq_int(warm_told("x.weight", "bilinear_0.w_0", 2), WARM_TOLD_OTHER);
	t_eq_int(warm_told("rnn.weight_ih_l0", NULL, 2), WARM_TOLD_OTHER);
	t_eq_int(warm_told("conv.weight", NULL, 4), WARM_TOLD_OTHER);
	t_eq_int(warm_told("fc.bias", NULL, 1), WARM_TOLD_OTHER);
	t_eq_int(warm_told("fc.weight", NULL, 2), WARM_TOLD_NOTHING);
	t_eq_int(warm_told("fc.weight", "fc.weight", 2), WARM_TOLD_NOTHING);
	t_eq_int(warm_told("fc.weight", "linear.w_0", 2), WARM_TOLD_NOTHING);
	t_eq_int(warm_told("fc.weight", "", 2), WARM_TOLD_NOTHING);
}

static void
twin(const char *name, bool both, const char *want)
{
	char *is = warm_recurrent_twin(name, both);

	t_eq_str(is != NULL ? is : "none", want);
	free(is);
}

T_CASE(a_recurrent_layers_tensors_have_a_second_key_in_paddle)
{
	twin("neck.lstm.weight_ih_l0", true, "neck.lstm.0.cell_fw.weight_ih");
	twin("neck.lstm.bias_hh_l1_reverse", true,
	    "neck.lstm.1.cell_bw.bias_hh");
	twin("weight_hh_l10", false, "10.cell.weight_hh");
	twin("rnn.weight_ih_l", true, "none");
	twin("rnn.weight_ih_l0_back", true, "none");
	twin("rnn.weight_hr_l0", true, "none");
	twin("fc.weight", false, "none");
	twin("", false, "none");
}

T_CASE(parts_of_an_optimiser_have_paddles_words_where_they_mean_the_same)
{
	t_eq_str(warm_paddle_slot("exp_avg"), "moment1");
	t_eq_str(warm_paddle_slot("exp_avg_sq"), "moment2");
	t_eq_str(warm_paddle_slot("momentum_buffer"), "velocity");
	t_eq_str(warm_paddle_slot("sum"), "moment");
	t_check(warm_paddle_slot("square_avg") == NULL);
}

T_MAIN
