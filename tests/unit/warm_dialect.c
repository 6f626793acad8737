/* Whose names a file has: networks of each framework into ours. */
#include "warm_help.h"

/* All of the model is found, strictly, by this dialect. */
static void
loads_all(const struct list *model, const struct list *file,
    enum warm_framework framework, const char *dialect)
{
	struct made m;

	make_plan(&m, model, file, framework, NULL, true);
	if (m.rc != RK_OK)
		t_fail("%s: %s", dialect, m.faults);
	t_eq_str(spec_dialect_words[m.plan->dialect], dialect);
	t_eq_int(m.plan->tensors, model->n);
	t_eq_int(m.plan->loaded, m.plan->parameters);
	made_fini(&m);
}

T_CASE(a_resnet_is_known_by_the_names_of_five_frameworks)
{
	static const struct {
		enum naming names;
		enum warm_framework framework;
		const char *dialect;
	} rows[] = {
		{ TORCHVISION, WARM_PYTORCH, "torchvision" },
		{ TORCHVISION, WARM_UNKNOWN, "torchvision" },
		{ HUGGINGFACE, WARM_PYTORCH, "huggingface" },
		{ HUGGINGFACE, WARM_UNKNOWN, "huggingface" },
		{ PADDLE, WARM_PADDLE, "paddle" },
		{ PADDLE, WARM_UNKNOWN, "paddle" },
		{ PADDLECLAS, WARM_PADDLE, "paddleclas" },
		{ PADDLECLAS, WARM_UNKNOWN, "paddleclas" },
	};
	struct list ours = { .n = 0 };

	resnet50(&ours, OURS, 4, 10, false);
	t_eq_int(ours.n, 267);
	for (size_t i = 0; i < RK_ARRAY_LEN(rows); i++) {
		struct list file = { .n = 0 };
		resnet50(&file, rows[i].names, 4, 10, false);
		t_eq_int(file.n, is_paddle(rows[i].names) ? 267 : 320);
		loads_all(&ours, &file, rows[i].framework, rows[i].dialect);
		list_fini(&file);
	}
	list_fini(&ours);
}

T_CASE(a_tensor_goes_where_its_layer_is)
{
	struct list ours = { .n = 0 }, file = { .n = 0 };
	struct made m;

	resnet50(&ours, OURS, 4, 10, false);
	resnet50(&file, PADDLECLAS, 4, 10, false);
	make_plan(&m, &ours, &file, WARM_PADDLE, NULL, true);
	t_eq_str(from_of(&m, "layer3.5.conv2.weight"),
	    "blocks.12.conv1.conv.weight");
	t_eq_str(from_of(&m, "layer4.0.downsample.1.running_var"),
	    "blocks.13.short.bn._variance");
	t_eq_str(from_of(&m, "bn1.running_mean"), "stem.0.bn._mean");
	t_action(&m, "layer3.5.conv2.weight", "rename");
	t_action(&m, "fc.weight", "transpose");
	t_action(&m, "fc.bias", "copy");
	made_fini(&m);
	list_fini(&file);
	resnet50(&file, HUGGINGFACE, 4, 10, false);
	make_plan(&m, &ours, &file, WARM_PYTORCH, NULL, true);
	t_eq_str(from_of(&m, "layer3.5.conv2.weight"),
	    "resnet.encoder.stages.2.layers.5.layer.1.convolution.weight");
	t_eq_str(from_of(&m, "fc.bias"), "classifier.1.bias");
	made_fini(&m);
	list_fini(&file);
	list_fini(&ours);
}

T_CASE(a_deep_stem_is_read_from_timm_and_from_paddleclas)
{
	struct list ours = { .n = 0 }, file = { .n = 0 };
	struct made m;

	/* Our names of a resnet50_vd are PaddleClas', the layout is PyTorch's. */
	resnet50(&ours, PADDLECLAS, 4, 10, true);
	ours.v[ours.n - 2].d[0] = 10;
	ours.v[ours.n - 2].d[1] = 128;
	resnet50(&file, TIMM_D, 4, 10, true);
	loads_all(&ours, &file, WARM_PYTORCH, "timm");
	make_plan(&m, &ours, &file, WARM_PYTORCH, NULL, true);
	t_eq_str(from_of(&m, "blocks.3.short.bn._mean"),
	    "layer2.0.downsample.2.running_mean");
	t_eq_str(from_of(&m, "stem.2.bn.weight"), "bn1.weight");
	made_fini(&m);
	list_fini(&file);
	resnet50(&file, PADDLECLAS, 4, 10, true);
	loads_all(&ours, &file, WARM_PADDLE, "paddleclas");
	list_fini(&file);
	list_fini(&ours);
}

/* Two blocks as a mobilenet_v3 has them: one without a first convolution, one
 * without an excitation. */
static void
mobilenet(struct list *l, enum naming k)
{
	static const char *const names[2][8] = {
		{ "features.0", "features.1.block.0", "features.1.block.1",
		  "features.1.block.2", "features.2.block.0",
		  "features.2.block.1", "features.2.block.2", "features.3" },
		{ "conv", "blocks.0.bottleneck_conv", "blocks.0.mid_se",
		  "blocks.0.linear_conv", "blocks.1.expand_conv",
		  "blocks.1.bottleneck_conv", "blocks.1.linear_conv",
		  "lastconv" },
	};
	char conv[64], bn[64];

	for (int i = 0; i < 8; i++) {
		const char *name = names[is_paddle(k)][i];
		if (i == 2) {
			put(l, WARM_CONV, DIMS(4, 8, 1, 1), "%s.fc1.weight",
			    name);
			put(l, WARM_CONV, DIMS(8, 4, 1, 1), "%s.fc2.weight",
			    name);
			continue;
		}
		snprintf(conv, sizeof(conv), "%s.0", name);
		snprintf(bn, sizeof(bn), "%s.1", name);
		conv_norm(l, k, 8, 8, 3, conv, bn);
	}
	linear(l, k, 10, 8, "classifier.3");
}

T_CASE(a_mobilenet_v3_of_paddle_is_known_by_the_parts_of_its_blocks)
{
	struct list ours = { .n = 0 }, file = { .n = 0 };
	struct made m;

	mobilenet(&ours, OURS);
	mobilenet(&file, PADDLE);
	loads_all(&ours, &file, WARM_PADDLE, "paddle");
	loads_all(&ours, &file, WARM_UNKNOWN, "paddle");
	make_plan(&m, &ours, &file, WARM_PADDLE, NULL, true);
	t_eq_str(from_of(&m, "features.1.block.2.0.weight"),
	    "blocks.0.linear_conv.0.weight");
	t_eq_str(from_of(&m, "features.2.block.2.1.running_var"),
	    "blocks.1.linear_conv.1._variance");
	t_eq_str(from_of(&m, "features.3.1.bias"), "lastconv.1.bias");
	t_action(&m, "classifier.3.weight", "transpose");
	made_fini(&m);
	list_fini(&file);
	mobilenet(&file, TORCHVISION);
	loads_all(&ours, &file, WARM_PYTORCH, "pytorch");
	list_fini(&file);
	list_fini(&ours);
}

T_CASE(an_encoder_is_known_by_hugging_face_and_by_paddlenlp)
{
	struct list bert = { .n = 0 }, ernie = { .n = 0 }, file = { .n = 0 };
	struct made m;

	encoder(&bert, OURS, 2, 8, "bert.");
	encoder(&file, HUGGINGFACE, 2, 8, "bert.");
	loads_all(&bert, &file, WARM_UNKNOWN, "huggingface");
	list_fini(&file);
	encoder(&file, PADDLENLP, 2, 8, "bert.");
	loads_all(&bert, &file, WARM_PADDLE, "paddlenlp");
	make_plan(&m, &bert, &file, WARM_PADDLE, NULL, true);
	t_eq_str(from_of(&m, "bert.encoder.layer.1.output.dense.weight"),
	    "bert.encoder.layers.1.linear2.weight");
	t_action(&m, "bert.encoder.layer.1.output.dense.weight", "transpose");
	t_action(&m, "bert.embeddings.word_embeddings.weight", "copy");
	made_fini(&m);
	list_fini(&file);
	/* The bare encoder of the one into the other's head. */
	encoder(&file, HUGGINGFACE, 2, 8, "");
	loads_all(&bert, &file, WARM_PYTORCH, "huggingface");
	encoder(&ernie, PADDLENLP, 2, 8, "ernie.");
	for (size_t i = 0; i < ernie.n; i++)
		if (ernie.v[i].kind == WARM_LINEAR) {
			const int64_t in = ernie.v[i].d[0];
			ernie.v[i].d[0] = ernie.v[i].d[1];
			ernie.v[i].d[1] = in;
		}
	loads_all(&ernie, &file, WARM_PYTORCH, "huggingface");
	list_fini(&file);
	list_fini(&bert);
	list_fini(&ernie);
}

T_CASE(old_hugging_face_calls_weights_of_norms_gamma)
{
	struct list bert = { .n = 0 }, file = { .n = 0 };

	encoder(&bert, OURS, 1, 8, "bert.");
	encoder(&file, HUGGINGFACE, 1, 8, "bert.");
	for (size_t i = 0; i < file.n; i++) {
		char *s = (char *)(uintptr_t)file.v[i].name;
		char *at = strstr(s, "LayerNorm.");
		if (at == NULL)
			continue;
		strcpy(at + 10, at[10] == 'w' ? "gamma" : "beta");
	}
	loads_all(&bert, &file, WARM_PYTORCH, "huggingface");
	list_fini(&file);
	list_fini(&bert);
}

T_CASE(ernies_task_is_added_to_its_positions)
{
	struct list ours = { .n = 0 }, file = { .n = 0 };
	struct made m;

	encoder(&ours, OURS, 1, 8, "bert.");
	encoder(&file, PADDLENLP, 1, 8, "ernie.");
	put(&file, WARM_TABLE, DIMS(3, 8),
	    "ernie.embeddings.task_type_embeddings.weight");
	make_plan(&m, &ours, &file, WARM_PADDLE, NULL, true);
	t_eq_str(m.faults, "");
	const struct warm_row *r = row_of(&m,
	    "bert.embeddings.position_embeddings.weight");
	t_eq_int(r->added, (int64_t)file.n - 1);
	t_has(r->why, "row 0 of ernie.embeddings.task_type_embeddings.weight");
	t_action(&m, "ernie.embeddings.task_type_embeddings.weight", "skip");
	made_fini(&m);
	/* A model that has the table takes it. */
	put(&ours, WARM_TABLE, DIMS(3, 8),
	    "bert.embeddings.task_type_embeddings.weight");
	make_plan(&m, &ours, &file, WARM_PADDLE, NULL, true);
	t_eq_str(m.faults, "");
	t_eq_int(row_of(&m,
	    "bert.embeddings.position_embeddings.weight")->added, -1);
	t_action(&m, "bert.embeddings.task_type_embeddings.weight", "rename");
	made_fini(&m);
	list_fini(&file);
	list_fini(&ours);
}

static void
prefix_names(struct list *l, const char *prefix)
{
	for (size_t i = 0; i < l->n; i++) {
		char *s = xasprintf("%s%s", prefix, l->v[i].name);
		free((char *)(uintptr_t)l->v[i].name);
		l->v[i].name = s;
	}
}

T_CASE(what_wraps_a_network_is_taken_off_its_names)
{
	static const char *const prefixes[] = { "module.", "model.",
		"backbone.", "module.model.", "_orig_mod." };
	struct list ours = { .n = 0 };
	struct made m;

	resnet50(&ours, OURS, 4, 10, false);
	for (size_t i = 0; i < RK_ARRAY_LEN(prefixes); i++) {
		struct list file = { .n = 0 };
		resnet50(&file, TORCHVISION, 4, 10, false);
		prefix_names(&file, prefixes[i]);
		make_plan(&m, &ours, &file, WARM_PYTORCH, NULL, true);
		t_eq_str(m.faults, "");
		t_eq_str(m.plan->prefix, prefixes[i]);
		made_fini(&m);
		list_fini(&file);
	}
	/* And off the model's, where the file has none. */
	struct list wrapped = { .n = 0 };
	resnet50(&wrapped, OURS, 4, 10, false);
	prefix_names(&wrapped, "backbone.");
	struct list file = { .n = 0 };
	resnet50(&file, TORCHVISION, 4, 10, false);
	make_plan(&m, &wrapped, &file, WARM_PYTORCH, NULL, true);
	t_eq_str(m.faults, "");
	made_fini(&m);
	list_fini(&file);
	list_fini(&wrapped);
	list_fini(&ours);
}

T_CASE(square_weights_of_paddle_are_turned_by_who_wrote_them)
{
	struct list ours = { .n = 0 }, file = { .n = 0 };
	struct made m;

	linear(&ours, OURS, 16, 16, "fc1");
	linear(&ours, OURS, 16, 16, "fc2");
	linear(&file, PADDLE, 16, 16, "fc1");
	linear(&file, PADDLE, 16, 16, "fc2");
	make_plan(&m, &ours, &file, WARM_PADDLE, NULL, true);
	t_eq_str(m.faults, "");
	t_action(&m, "fc1.weight", "transpose");
	t_action(&m, "fc1.bias", "copy");
	made_fini(&m);
	make_plan(&m, &ours, &file, WARM_PYTORCH, NULL, true);
	t_action(&m, "fc1.weight", "copy");
	made_fini(&m);
	/* Nobody says: PyTorch's layout, or what model.dialect says. */
	make_plan(&m, &ours, &file, WARM_UNKNOWN, NULL, true);
	t_action(&m, "fc1.weight", "copy");
	t_eq_str(spec_dialect_words[m.plan->dialect], "rekindle");
	made_fini(&m);
	const struct spec_warm said = { .dialect = SPEC_DIALECT_PADDLE };
	make_plan(&m, &ours, &file, WARM_UNKNOWN, &said, true);
	t_action(&m, "fc1.weight", "transpose");
	made_fini(&m);
	list_fini(&file);
	list_fini(&ours);
}

T_CASE(of_a_table_and_a_convolution_nothing_is_turned)
{
	struct list ours = { .n = 0 };
	struct made m;

	put(&ours, WARM_TABLE, DIMS(8, 8), "table.weight");
	put(&ours, WARM_CONV, DIMS(4, 4, 3, 3), "conv.weight");
	put(&ours, WARM_RECURRENT, DIMS(16, 16), "lstm.weight_hh_l0");
	linear(&ours, OURS, 8, 8, "out");
	make_plan(&m, &ours, &ours, WARM_PADDLE, NULL, true);
	t_action(&m, "table.weight", "copy");
	t_action(&m, "conv.weight", "copy");
	t_action(&m, "lstm.weight_hh_l0", "copy");
	t_action(&m, "out.weight", "transpose");
	made_fini(&m);
	list_fini(&ours);
}

T_CASE(two_dialects_that_fit_as_well_are_not_chosen_between)
{
	struct list ours = { .n = 0 }, file = { .n = 0 };
	struct made m;

	/* Square all over, Paddle's words for the statistics, and nobody says
	 * who wrote it. */
	linear(&ours, OURS, 8, 8, "fc");
	norm(&ours, PADDLE, 8, "bn");
	linear(&file, OURS, 8, 8, "fc");
	norm(&file, PADDLE, 8, "bn");
	make_plan(&m, &ours, &file, WARM_UNKNOWN, NULL, false);
	t_eq_int(m.rc, RK_EINVAL);
	t_has(m.faults, "model.dialect: is not said");
	t_has(m.faults, "paddle");
	t_has(m.faults, "rekindle");
	made_fini(&m);
	const struct spec_warm said = { .dialect = SPEC_DIALECT_REKINDLE };
	make_plan(&m, &ours, &file, WARM_UNKNOWN, &said, true);
	t_eq_str(m.faults, "");
	t_action(&m, "fc.weight", "copy");
	made_fini(&m);
	list_fini(&file);
	list_fini(&ours);
}

T_CASE(the_runner_up_is_shown)
{
	struct list ours = { .n = 0 }, file = { .n = 0 };
	struct made m;

	resnet50(&ours, OURS, 4, 10, false);
	resnet50(&file, PADDLE, 4, 10, false);
	make_plan(&m, &ours, &file, WARM_UNKNOWN, NULL, true);
	t_eq_str(m.faults, "");
	json_t *j = warm_plan_json(m.plan, "f");
	t_eq_str(json_string_value(json_object_get(j, "dialect")), "paddle");
	const json_t *next = json_object_get(j, "runner_up");
	t_check(json_is_object(next));
	/* All but fc.weight: not transposed, it does not fit. */
	t_eq_int(json_integer_value(json_object_get(next, "tensors")),
	    (int64_t)ours.n - 1);
	json_decref(j);
	made_fini(&m);
	list_fini(&file);
	list_fini(&ours);
}

T_CASE(running_statistics_stay_what_they_are_and_it_is_said)
{
	struct list ours = { .n = 0 }, file = { .n = 0 };
	struct made m;

	resnet50(&ours, OURS, 4, 10, false);
	resnet50(&file, PADDLE, 4, 10, false);
	make_plan(&m, &ours, &file, WARM_PADDLE, NULL, true);
	char *notes = rkj_text(m.plan->notes);
	t_has(notes, "106 running statistics of Paddle stay the numbers that "
	    "they are, and batch norms go on by that convention");
	t_check(m.plan->others_running && m.plan->biased);
	free(notes);
	made_fini(&m);
	list_fini(&file);
	resnet50(&file, TORCHVISION, 4, 10, false);
	make_plan(&m, &ours, &file, WARM_PYTORCH, NULL, true);
	t_eq_int(json_array_size(m.plan->notes), 0);
	made_fini(&m);
	list_fini(&file);
	list_fini(&ours);
}

T_MAIN
