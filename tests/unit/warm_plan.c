/* What a plan says and refuses. */
#include "warm_help.h"

static void
body(struct list *l)
{
	put(l, WARM_CONV, DIMS(100, 100, 3, 3), "conv.weight");
	put(l, WARM_OTHER, DIMS(100), "conv.bias");
}

T_CASE(the_sentence_says_what_is_loaded_new_missing_and_ignored)
{
	struct list ours = { .n = 0 }, file = { .n = 0 };
	struct made m;

	resnet50(&ours, OURS, 64, 13, false);
	resnet50(&file, TORCHVISION, 64, 1000, false);
	make_plan(&m, &ours, &file, WARM_PYTORCH, NULL, false);
	t_eq_str(m.faults, "");
	t_eq_str(m.plan->summary, "loaded 265 of 267 tensors (23.50 M of 23.53 "
	    "M parameters); 2 new: fc.weight, fc.bias (file [1000,2048], model "
	    "[13,2048]); 0 missing; 53 ignored");
	made_fini(&m);
	list_fini(&file);
	list_fini(&ours);
}

T_CASE(small_networks_have_all_their_digits)
{
	struct list ours = { .n = 0 }, file = { .n = 0 };
	struct made m;

	body(&ours);
	linear(&ours, OURS, 3, 4, "a");
	linear(&ours, OURS, 3, 4, "b");
	put(&ours, WARM_OTHER, DIMS(7), "c");
	body(&file);
	linear(&file, OURS, 5, 4, "a");
	linear(&file, OURS, 5, 6, "b");
	put(&file, WARM_OTHER, DIMS(7), "d");
	make_plan(&m, &ours, &file, WARM_PYTORCH, NULL, false);
	t_eq_str(m.faults, "");
	t_eq_str(m.plan->summary, "loaded 2 of 7 tensors (90,100 of 90,137 "
	    "parameters); 4 new: a.weight, a.bias (file [5,4], model [3,4]), "
	    "b.weight, b.bias (file [5,6], model [3,4]); 1 missing: c; 1 "
	    "ignored");
	made_fini(&m);
	list_fini(&file);
	list_fini(&ours);
}

T_CASE(strict_lists_every_fault_with_both_shapes)
{
	struct list ours = { .n = 0 }, file = { .n = 0 };
	struct made m;

	body(&ours);
	linear(&ours, OURS, 3, 4, "fc");
	put(&ours, WARM_OTHER, DIMS(7), "gone");
	body(&file);
	linear(&file, OURS, 5, 4, "fc");
	put(&file, WARM_OTHER, DIMS(2), "strange");
	make_plan(&m, &ours, &file, WARM_PYTORCH, NULL, true);
	t_eq_int(m.rc, RK_EINVAL);
	t_check(m.plan != NULL);
	t_eq_int(m.why.n, 4);
	t_has(m.faults, "fc.weight: does not match: file [5,4], model [3,4]");
	t_has(m.faults, "fc.bias: does not match: file [5], model [3]");
	t_has(m.faults, "gone: is missing from the file: model [7]");
	t_has(m.faults, "strange: is unexpected: the model has no such tensor"
	    ": file [2]");
	made_fini(&m);
	list_fini(&file);
	list_fini(&ours);
}

T_CASE(policies_are_by_pattern_and_the_longest_counts)
{
	struct spec_policy_of missing[] = { { (char *)(uintptr_t)"fc*",
	    SPEC_POLICY_INIT }, { (char *)(uintptr_t)"fc2.*",
	    SPEC_POLICY_ERROR } };
	const struct spec_warm spec = { .of = { [SPEC_MISSING] = {
	    .v = missing, .n = 2 } }, .minimum_said = true };
	struct list ours = { .n = 0 }, file = { .n = 0 };
	struct made m;

	body(&ours);
	linear(&ours, OURS, 3, 4, "fc1");
	linear(&ours, OURS, 3, 4, "fc2");
	body(&file);
	make_plan(&m, &ours, &file, WARM_PYTORCH, &spec, true);
	t_eq_int(m.why.n, 2);
	t_has(m.faults, "fc2.weight: is missing");
	t_has(m.faults, "fc2.bias: is missing");
	t_action(&m, "fc1.weight", "init");
	made_fini(&m);
	list_fini(&file);
	list_fini(&ours);
}

T_CASE(patterns_and_expressions_that_fit_nothing_are_named)
{
	struct spec_policy_of init[] = { { (char *)(uintptr_t)"liner.*",
	    SPEC_POLICY_INIT }, { (char *)(uintptr_t)"conv.*",
	    SPEC_POLICY_INIT } };
	struct spec_policy_of skip[] = { { (char *)(uintptr_t)"aux.*",
	    SPEC_POLICY_SKIP } };
	struct spec_rename rename[] = { { (char *)(uintptr_t)"^enc",
	    (char *)(uintptr_t)"" } };
	const struct spec_warm spec = { .of = { [SPEC_MISMATCH] = {
	    .v = init, .n = 2 }, [SPEC_UNEXPECTED] = { .v = skip, .n = 1 } },
	    .rename = rename, .nrename = 1 };
	struct list ours = { .n = 0 }, file = { .n = 0 };
	struct made m;

	body(&ours);
	body(&file);
	make_plan(&m, &ours, &file, WARM_PYTORCH, &spec, true);
	t_eq_str(m.faults, "");
	char *notes = rkj_text(m.plan->notes);
	t_has(notes, "model.mismatch has \\\"liner.*\\\", which fits no tensor "
	    "of the model");
	t_has(notes, "model.unexpected has \\\"aux.*\\\", which fits no tensor "
	    "of the file that the model has not");
	t_has(notes, "model.rename has \\\"^enc\\\", which fits no name of the "
	    "file");
	t_check(strstr(notes, "conv.*") == NULL);
	free(notes);
	made_fini(&m);
	/* And in the refusal that comes of it. */
	linear(&ours, OURS, 3, 4, "linear");
	linear(&file, OURS, 5, 4, "linear");
	make_plan(&m, &ours, &file, WARM_PYTORCH, &spec, true);
	t_has(m.faults, "linear.weight: does not match: file [5,4], model "
	    "[3,4]; model.mismatch has \"liner.*\", which fits no tensor of "
	    "the model");
	made_fini(&m);
	list_fini(&file);
	list_fini(&ours);
}

T_CASE(a_file_of_a_larger_network_is_asked_after)
{
	struct list ours = { .n = 0 }, file = { .n = 0 };
	struct made m;

	body(&ours);
	linear(&ours, OURS, 3, 4, "fc");
	body(&file);
	linear(&file, OURS, 1000, 4000, "head");
	make_plan(&m, &ours, &file, WARM_PYTORCH, NULL, false);
	t_eq_int(json_array_size(m.plan->notes), 0);
	made_fini(&m);
	put(&file, WARM_CONV, DIMS(100, 100, 3, 3), "conv2.weight");
	norm(&file, OURS, 100, "bn2");
	make_plan(&m, &ours, &file, WARM_PYTORCH, NULL, false);
	char *notes = rkj_text(m.plan->notes);
	t_has(notes, "the file has 5 tensors (90,200 of its 180,300 "
	    "parameters) that the model has not: is it the same network?");
	free(notes);
	made_fini(&m);
	list_fini(&file);
	list_fini(&ours);
}

T_CASE(a_slice_takes_what_both_shapes_have)
{
	const struct spec_warm spec = { .of = { [SPEC_MISMATCH] = {
	    .said = true, .is = SPEC_POLICY_SLICE } } };
	struct list ours = { .n = 0 }, file = { .n = 0 };
	struct made m;

	body(&ours);
	linear(&ours, OURS, 3, 4, "fc");
	body(&file);
	linear(&file, PADDLE, 5, 2, "fc");
	make_plan(&m, &ours, &file, WARM_PADDLE, &spec, true);
	t_eq_str(m.faults, "");
	const struct warm_row *r = row_of(&m, "fc.weight");
	t_action(&m, "fc.weight", "slice");
	t_check((r->steps & 1u << WARM_TRANSPOSE) != 0);
	t_eq_int(r->loaded, 3 * 2);
	t_eq_int(row_of(&m, "fc.bias")->loaded, 3);
	t_has(m.plan->summary, "loaded 4 of 4 tensors (90,109 of 90,115 "
	    "parameters); 0 new; 2 sliced: fc.weight, fc.bias (file [2,5], "
	    "model [3,4]); 0 missing");
	made_fini(&m);
	list_fini(&file);
	list_fini(&ours);
}

T_CASE(a_loose_start_that_loads_next_to_nothing_is_refused)
{
	const struct spec_warm zero = { .minimum_said = true };
	struct list ours = { .n = 0 }, file = { .n = 0 };
	struct made m;

	body(&ours);
	linear(&ours, OURS, 3, 4, "fc");
	put(&file, WARM_CONV, DIMS(100, 100, 3, 3), "foo.conv.weight");
	put(&file, WARM_OTHER, DIMS(100), "foo.conv.bias");
	linear(&file, OURS, 3, 4, "fc");
	make_plan(&m, &ours, &file, WARM_PYTORCH, NULL, false);
	t_eq_int(m.rc, RK_EINVAL);
	t_has(m.faults, "model.minimum: is 0.9, and 0.0 % of the parameters");
	t_has(m.faults, "(15 of 90,115)");
	t_has(m.faults, "its names begin with \"foo.\"");
	made_fini(&m);
	make_plan(&m, &ours, &file, WARM_PYTORCH, &zero, false);
	t_eq_str(m.faults, "");
	made_fini(&m);
	/* A part of a deeper network is no prefix of its names. */
	put(&file, WARM_OTHER, DIMS(7), "bar.bias");
	make_plan(&m, &ours, &file, WARM_PYTORCH, NULL, false);
	t_has(m.faults, "(15 of 90,115)");
	t_check(strstr(m.faults, "its names begin with") == NULL);
	made_fini(&m);
	list_fini(&file);
	list_fini(&ours);
}

/* A head of most parameters that does not match does not count. */
T_CASE(the_minimum_is_of_what_is_outside_the_new_heads)
{
	struct list ours = { .n = 0 }, file = { .n = 0 };
	struct made m;

	body(&ours);
	linear(&ours, OURS, 1000, 1000, "fc");
	body(&file);
	linear(&file, OURS, 10, 1000, "fc");
	make_plan(&m, &ours, &file, WARM_PYTORCH, NULL, false);
	t_eq_str(m.faults, "");
	t_eq_int(m.plan->outside, 90100);
	made_fini(&m);
	list_fini(&file);
	list_fini(&ours);
}

T_CASE(names_are_changed_by_regular_expressions)
{
	struct spec_rename rename[] = {
		{ (char *)(uintptr_t)"^enc\\.(\\w+)\\.kernel$",
		  (char *)(uintptr_t)"\\1.weight" },
		{ (char *)(uintptr_t)"^enc\\.", (char *)(uintptr_t)"" },
	};
	struct spec_warm spec = { .rename = rename, .nrename = 2 };
	struct list ours = { .n = 0 }, file = { .n = 0 };
	struct made m;

	body(&ours);
	put(&file, WARM_CONV, DIMS(100, 100, 3, 3), "enc.conv.kernel");
	put(&file, WARM_OTHER, DIMS(100), "enc.conv.bias");
	make_plan(&m, &ours, &file, WARM_PYTORCH, &spec, true);
	t_eq_str(m.faults, "");
	t_action(&m, "conv.weight", "rename");
	t_eq_str(from_of(&m, "conv.weight"), "enc.conv.kernel");
	t_has(row_of(&m, "conv.weight")->why, "model.rename makes it "
	    "conv.weight");
	made_fini(&m);
	/* What it makes of a name is said where that is of no tensor. */
	rename[0].to = (char *)(uintptr_t)"\\1.other";
	make_plan(&m, &ours, &file, WARM_PYTORCH, &spec, false);
	t_eq_str(m.plan->v[m.plan->n - 1].why, "the model has no conv.other, "
	    "which model.rename makes of it");
	made_fini(&m);
	/* Two of one name would hide each other. */
	rename[1].from = (char *)(uintptr_t)"^.*$";
	rename[1].to = (char *)(uintptr_t)"conv.weight";
	make_plan(&m, &ours, &file, WARM_PYTORCH, &spec, false);
	t_check(m.plan == NULL);
	t_has(m.faults, "model.rename: makes two tensors of the file "
	    "conv.weight");
	made_fini(&m);
	list_fini(&file);
	list_fini(&ours);
}

T_CASE(types_are_converted_but_whole_numbers_are_none)
{
	struct list ours = { .n = 0 }, file = { .n = 0 };
	struct made m;

	body(&ours);
	linear(&ours, OURS, 3, 4, "fc");
	body(&file);
	linear(&file, OURS, 3, 4, "fc");
	file.v[0].dtype = DT_BF16;
	file.v[2].dtype = DT_I64;
	make_plan(&m, &ours, &file, WARM_PYTORCH, NULL, false);
	t_action(&m, "conv.weight", "convert");
	t_eq_str(row_of(&m, "conv.weight")->why, "from BF16");
	t_action(&m, "fc.weight", "init");
	t_has(m.plan->summary, "1 new: fc.weight (file I64 [3,4], model "
	    "[3,4])");
	made_fini(&m);
	list_fini(&file);
	list_fini(&ours);
}

T_CASE(a_second_name_of_a_tensor_that_is_loaded_is_no_fault)
{
	struct list ours = { .n = 0 }, file = { .n = 0 };
	struct made m;

	body(&ours);
	body(&file);
	put(&file, WARM_OTHER, DIMS(100), "conv.0.bias");
	file.v[2].same_as = 1;
	put(&file, WARM_OTHER, 0, NULL, "bn.num_batches_tracked");
	make_plan(&m, &ours, &file, WARM_PADDLE, NULL, true);
	t_eq_str(m.faults, "");
	t_has(row_of(&m, "conv.0.bias")->why, "the same numbers as conv.bias");
	made_fini(&m);
	file.v[2].same_as = -1;
	make_plan(&m, &ours, &file, WARM_PADDLE, NULL, true);
	t_has(m.faults, "conv.0.bias: is unexpected");
	made_fini(&m);
	list_fini(&file);
	list_fini(&ours);
}

T_CASE(counts_that_training_does_not_need_are_no_fault)
{
	static const char *const counts[] = { "bn.num_batches_tracked",
		"n_averaged" };
	struct list ours = { .n = 0 }, file = { .n = 0 };
	struct made m;

	body(&ours);
	body(&file);
	for (size_t k = 0; k < RK_ARRAY_LEN(counts); k++) {
		put(&file, WARM_OTHER, 0, NULL, counts[k]);
		file.v[file.n - 1].dtype = DT_I64;
	}
	make_plan(&m, &ours, &file, WARM_PYTORCH, NULL, true);
	t_eq_str(m.faults, "");
	for (size_t k = 0; k < RK_ARRAY_LEN(counts); k++)
		t_eq_str(row_of(&m, counts[k])->why,
		    "training does not need it");
	made_fini(&m);
	/* One that is none. */
	put(&file, WARM_OTHER, DIMS(2), "n_averaged");
	make_plan(&m, &ours, &file, WARM_PYTORCH, NULL, true);
	t_has(m.faults, "n_averaged: is unexpected");
	made_fini(&m);
	list_fini(&file);
	list_fini(&ours);
}

T_CASE(a_digest_says_which_side_has_changed)
{
	struct list ours = { .n = 0 }, file = { .n = 0 };
	struct made m, other;
	char was[RK_SHA256_HEX];

	body(&ours);
	body(&file);
	make_plan(&m, &ours, &file, WARM_PYTORCH, NULL, true);
	memcpy(was, m.plan->digest, sizeof(was));
	t_eq_int(strlen(was), 64);
	t_check(warm_plan_changed(m.plan, was) == NULL);
	put(&file, WARM_OTHER, DIMS(2), "strange");
	make_plan(&other, &ours, &file, WARM_PYTORCH, NULL, false);
	char *s = warm_plan_changed(other.plan, was);
	t_has(s, "the tensors of the file, what is done with them changed");
	t_check(strstr(s, "tensors of the model") == NULL);
	t_has(s, other.plan->summary);
	free(s);
	made_fini(&other);
	made_fini(&m);
	list_fini(&file);
	list_fini(&ours);
}

T_CASE(a_file_of_another_producer_is_refused_or_said)
{
	struct spec_producer who[] = { { (char *)(uintptr_t)"paddle",
	    (char *)(uintptr_t)">=2.6, <3" } };
	const struct spec_warm spec = { .producer = who, .nproducer = 1 };
	static const struct {
		const char *writer;
		enum spec_version is;
	} rows[] = {
		{ "paddle 2.6.1", SPEC_VERSION_FITS },
		{ "paddle 2.10", SPEC_VERSION_FITS },
		{ "paddle 2.5.9", SPEC_VERSION_OTHER },
		{ "paddle 3.0", SPEC_VERSION_OTHER },
		{ "pytorch 2.6", SPEC_VERSION_OTHER },
		{ "paddle", SPEC_VERSION_UNSAID },
		{ NULL, SPEC_VERSION_UNSAID },
	};
	struct list ours = { .n = 0 };
	struct warm_plan *p;

	body(&ours);
	for (size_t i = 0; i < RK_ARRAY_LEN(rows); i++) {
		struct warm_want w = { .model = ours.v, .file = ours.v,
			.nmodel = ours.n, .nfile = ours.n, .spec = &spec,
			.writer = rows[i].writer, .strict = true };
		const bool bad = rows[i].is == SPEC_VERSION_OTHER;
		t_eq_int(spec_producer_fits(&spec, rows[i].writer),
		    rows[i].is);
		t_eq_int(warm_plan_new(&p, &w, NULL), bad ? RK_EINVAL :
		    RK_OK);
		t_eq_int(json_array_size(p->notes),
		    rows[i].is == SPEC_VERSION_UNSAID);
		if (rows[i].is == SPEC_VERSION_UNSAID)
			t_has(json_string_value(json_array_get(p->notes, 0)),
			    rows[i].writer != NULL ? "asks for paddle >=2.6, "
			    "<3, and the file is of paddle and does not say of "
			    "which version" : "does not say who wrote it");
		warm_plan_free(p);
		w.strict = false;
		t_eq_int(warm_plan_new(&p, &w, NULL), RK_OK);
		t_eq_int(json_array_size(p->notes),
		    rows[i].is != SPEC_VERSION_FITS);
		warm_plan_free(p);
	}
	/* The packages' names. */
	who[0].name = (char *)(uintptr_t)"paddlepaddle";
	t_eq_int(spec_producer_fits(&spec, "paddle 2.6"), SPEC_VERSION_FITS);
	who[0].name = (char *)(uintptr_t)"torch";
	t_eq_int(spec_producer_fits(&spec, "pytorch 2.6"), SPEC_VERSION_FITS);
	t_eq_int(spec_producer_fits(&spec, "paddle 2.6"), SPEC_VERSION_OTHER);
	list_fini(&ours);
}

T_CASE(a_file_of_which_nothing_fits_is_refused)
{
	struct list ours = { .n = 0 }, file = { .n = 0 };
	struct made m;

	linear(&ours, OURS, 3, 4, "fc");
	put(&file, WARM_OTHER, DIMS(2), "strange");
	make_plan(&m, &ours, &file, WARM_PYTORCH, NULL, false);
	t_has(m.faults, "nothing in the file fits the model: it has strange "
	    "file [2] and 0 more, the model wants fc.weight model [3,4]");
	made_fini(&m);
	list_fini(&file);
	make_plan(&m, &ours, &file, WARM_PYTORCH, NULL, false);
	t_has(m.faults, "the file has no tensors");
	made_fini(&m);
	linear(&file, PADDLE, 3, 4, "fc");
	file.n = 1;
	make_plan(&m, &ours, &file, WARM_PYTORCH, NULL, false);
	t_has(m.faults, "its fc.weight is transposed");
	made_fini(&m);
	/* Read as Paddle's what is not: both shapes look the same. */
	file.v[0].d[0] = 3;
	file.v[0].d[1] = 4;
	make_plan(&m, &ours, &file, WARM_PYTORCH, &(struct spec_warm){
	    .dialect = SPEC_DIALECT_PADDLE }, false);
	t_eq_str(row_of(&m, "fc.weight")->why,
	    "the shapes differ once it is transposed");
	made_fini(&m);
	file.n = 2;
	list_fini(&file);
	list_fini(&ours);
}

T_CASE(adams_steps_are_told_from_the_power_of_its_beta)
{
	const char *reason;
	int64_t step;

	t_check(warm_adam_step(0.999, pow(0.999, 21), &step, &reason));
	t_eq_int(step, 20);
	t_check(warm_adam_step(0.999, 1.467e-24, &step, &reason));
	t_check(step > 54800 && step < 54900);
	t_check(!warm_adam_step(0.999, 0, &step, &reason));
	t_has(reason, "beta2_pow is 0");
	t_check(!warm_adam_step(0.999, 2, &step, &reason));
}

T_MAIN
