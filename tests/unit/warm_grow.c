/* What grows: which rows and channels of a tensor are from where in the file. */
#include "warm_help.h"

static const char *const old[] = { "crack", "fray", "uneven", "void" };
static const char *const new[] = { "blowhole", "crack", "dent", "fray", "void" };
#define NAMES(v) { (v), (int64_t)RK_ARRAY_LEN(v) }
static const struct warm_sides both = { NAMES(old), NAMES(new) };

#define GROW(pattern, m, i) { .layer = (char *)(uintptr_t)(pattern), \
	.match = SPEC_GROW_##m, .init = SPEC_GROW_##i }

/* Lists of a model and a file, and their plan. */
struct test {
	struct list ours, file;
	struct made m;
	struct spec_warm spec;
};

static void
plan_of(struct test *t, struct spec_grow *grow, int n,
    enum warm_framework framework, const struct warm_sides *classes,
    const struct warm_sides *tokens)
{
	static const struct warm_sides unknown;

	t->spec = (struct spec_warm){ .grow = grow, .ngrow = n };
	t->m = (struct made){ .want = { .model = t->ours.v, .file = t->file.v,
		.nmodel = t->ours.n, .nfile = t->file.n,
		.framework = framework, .strict = true, .spec = &t->spec,
		.classes = classes != NULL ? *classes : unknown,
		.tokens = tokens != NULL ? *tokens : unknown } };
	t->m.rc = warm_plan_new(&t->m.plan, &t->m.want, &t->m.why);
	t->m.faults = t->m.why.n > 0 ? rk_why_text(&t->m.why) : xstrdup("");
}

/* The same with other names. */
static void
again(struct test *t, const struct warm_sides *classes, bool strict)
{
	struct warm_want w = t->m.want;

	w.classes = *classes;
	w.strict = strict;
	made_fini(&t->m);
	t->m = (struct made){ .want = w };
	t->m.rc = warm_plan_new(&t->m.plan, &t->m.want, &t->m.why);
	t->m.faults = t->m.why.n > 0 ? rk_why_text(&t->m.why) : xstrdup("");
}

static void
loosely(struct test *t)
{
	const struct warm_sides classes = t->m.want.classes;

	again(t, &classes, false);
}

static void
notes_have(const struct test *t, const char *want)
{
	char *notes = rkj_text(t->m.plan->notes);

	t_has(notes, want);
	free(notes);
}

static void
test_fini(struct test *t)
{
	made_fini(&t->m);
	list_fini(&t->ours);
	list_fini(&t->file);
}

/* The last linear layer of the model is its head. */
static void
head(struct test *t, enum naming file, int64_t ours, int64_t theirs)
{
	linear(&t->ours, OURS, ours, 3, "fc");
	for (size_t i = 0; i < 2; i++)
		t->ours.v[t->ours.n - 1 - i].rows = WARM_ROWS_CLASSES;
	linear(&t->file, file, theirs, 3, "fc");
}

static void
rows_are(const struct test *t, const char *name, const int64_t *from,
    int64_t n)
{
	const struct warm_row *r = row_of(&t->m, name);

	t_eq_int(r->action, WARM_GROW);
	t_eq_int(r->grown.n, n);
	for (int64_t i = 0; i < n; i++)
		t_eq_int(r->grown.from[i], from[i]);
}

T_CASE(rows_of_the_head_are_from_where_the_file_has_their_class)
{
	static const int64_t from[] = { -1, 0, -1, 1, 3 };
	struct spec_grow grow[] = { GROW("fc", NAME, MEAN) };
	struct test t = {0};

	head(&t, OURS, 5, 4);
	plan_of(&t, grow, 1, WARM_PYTORCH, &both, NULL);
	t_eq_str(t.m.faults, "");
	rows_are(&t, "fc.weight", from, 5);
	rows_are(&t, "fc.bias", from, 5);
	t_eq_int(row_of(&t.m, "fc.weight")->loaded, 9);
	t_eq_str(row_of(&t.m, "fc.bias")->why, "3 classes kept by name; 2 new, "
	    "as the mean of the file's; 1 dropped");
	t_eq_str(t.m.plan->summary, "loaded 2 of 2 tensors (12 of 20 "
	    "parameters); 0 new; 2 grown: fc.weight, fc.bias (file [4,3], "
	    "model [5,3]); 0 missing; 0 ignored");
	test_fini(&t);
}

T_CASE(paddles_head_is_turned_and_grows)
{
	static const int64_t from[] = { -1, 0, -1, 1, 3 };
	struct spec_grow grow[] = { GROW("fc.*", NAME, DEFAULT) };
	struct test t = {0};

	head(&t, PADDLE, 5, 4);
	plan_of(&t, grow, 1, WARM_PADDLE, &both, NULL);
	t_eq_str(t.m.faults, "");
	rows_are(&t, "fc.weight", from, 5);
	t_check((row_of(&t.m, "fc.weight")->steps & 1u << WARM_TRANSPOSE) !=
	    0);
	test_fini(&t);
}

T_CASE(as_many_rows_of_other_names_are_no_copy_and_the_same_names_are_one)
{
	static const char *const other[] = { "void", "crack", "dent", "fray" };
	static const int64_t from[] = { 3, 0, -1, 1 };
	const struct warm_sides moved = { NAMES(old), NAMES(other) };
	const struct warm_sides same = { NAMES(old), NAMES(old) };
	struct spec_grow grow[] = { GROW("fc", NAME, ZERO) };
	struct test t = {0};

	head(&t, OURS, 4, 4);
	plan_of(&t, grow, 1, WARM_PYTORCH, &moved, NULL);
	t_eq_str(t.m.faults, "");
	rows_are(&t, "fc.weight", from, 4);
	char digest[RK_SHA256_HEX];
	memcpy(digest, t.m.plan->digest, sizeof(digest));
	made_fini(&t.m);
	plan_of(&t, grow, 1, WARM_PYTORCH, &same, NULL);
	t_eq_int(row_of(&t.m, "fc.weight")->action, WARM_COPY);
	t_check(strcmp(digest, t.m.plan->digest) != 0);
	made_fini(&t.m);
	/* Without growth it is one, and a note says of whom. */
	plan_of(&t, NULL, 0, WARM_PYTORCH, &moved, NULL);
	t_eq_int(row_of(&t.m, "fc.weight")->action, WARM_COPY);
	char *notes = rkj_text(t.m.plan->notes);
	t_has(notes, "4 classes begin with the row of another class of the "
	    "file: void that of crack, crack that of fray, dent that of "
	    "uneven, fray that of void");
	free(notes);
	test_fini(&t);
}

T_CASE(what_cannot_be_matched_by_name_is_refused_under_any_policy)
{
	static const char *const three[] = { "a", "b", "c" };
	static const char *const birds[] = { "void", "x", "x", "void" };
	static const struct {
		struct warm_sides s;
		const char *why;
	} bad[] = {
		{ { { NULL, 0 }, NAMES(new) }, "what the classes of the file "
		    "are called is not known: want model.checkpoint_classes, "
		    "or model.grow: {fc: {match: index}}" },
		{ { NAMES(old), { NULL, 0 } }, "the classes of the job have no "
		    "names: want model.grow: {fc: {match: index}}" },
		{ { NAMES(three), NAMES(new) }, "has 4 rows in the file, and "
		    "model.checkpoint_classes names 3 classes" },
		{ { NAMES(old), NAMES(three) }, "has 5 rows in the model, and "
		    "the job 3 classes" },
		{ { NAMES(birds), NAMES(new) }, "the file has the class "
		    "\"void\" twice, as number 0 and 3" },
	};
	struct spec_grow grow[] = { GROW("fc", NAME, DEFAULT) };

	for (size_t i = 0; i < RK_ARRAY_LEN(bad); i++) {
		struct test t = {0};
		linear(&t.ours, OURS, 3, 2, "hidden");
		linear(&t.file, OURS, 3, 2, "hidden");
		head(&t, OURS, 5, 4);
		plan_of(&t, grow, 1, WARM_PYTORCH, &bad[i].s, NULL);
		t_eq_int(t.m.rc, RK_EINVAL);
		t_eq_int((int)t.m.why.n, 2);
		t_has(t.m.faults, "model.grow: fc.weight ");
		t_has(t.m.faults, bad[i].why);
		test_fini(&t);
	}
}

T_CASE(rows_go_by_number_where_the_job_says_so)
{
	static const int64_t more[] = { 0, 1, 2, 3, -1 };
	struct spec_grow grow[] = { GROW("fc", INDEX, DEFAULT),
		GROW("hidden", NAME, DEFAULT) };
	struct test t = {0};

	linear(&t.ours, OURS, 9, 2, "hidden");
	linear(&t.file, OURS, 7, 2, "hidden");
	head(&t, OURS, 5, 4);
	plan_of(&t, grow, 1, WARM_PYTORCH, NULL, NULL);
	t_eq_int(t.m.rc, RK_EINVAL);    /* hidden is not named */
	t_has(t.m.faults, "hidden.weight: does not match");
	rows_are(&t, "fc.weight", more, 5);
	made_fini(&t.m);
	plan_of(&t, grow, 2, WARM_PYTORCH, NULL, NULL);
	t_has(t.m.faults, "hidden.weight has 7 rows in the file and 9 in the "
	    "model, and its rows are no classes and no tokens");
	made_fini(&t.m);
	grow[1].match = SPEC_GROW_INDEX;
	plan_of(&t, grow, 2, WARM_PYTORCH, NULL, NULL);
	t_eq_str(t.m.faults, "");
	t_eq_int(row_of(&t.m, "hidden.bias")->grown.kept, 7);
	made_fini(&t.m);
	/* Where names are known, it is said whose rows these are. */
	plan_of(&t, grow, 2, WARM_PYTORCH, &both, NULL);
	char *notes = rkj_text(t.m.plan->notes);
	t_has(notes, "4 classes begin with the row of another class of the "
	    "file");
	free(notes);
	test_fini(&t);
}

T_CASE(a_head_that_could_grow_is_told_of)
{
	struct test t = {0};

	linear(&t.ours, OURS, 3, 2, "hidden");
	linear(&t.file, OURS, 3, 2, "hidden");
	head(&t, OURS, 5, 4);
	plan_of(&t, NULL, 0, WARM_PYTORCH, &both, NULL);
	t_has(t.m.faults, "fc.weight: does not match: file [4,3], model [5,3]; "
	    "model.grow: [fc] keeps the rows of 3 classes that both have");
	test_fini(&t);
}

T_CASE(a_head_of_which_no_class_is_known_says_so)
{
	static const char *const loud[] = { "CRACK", "FRAY", "DENT", "VOID",
		"HOLE" };
	const struct warm_sides apart = { NAMES(old), NAMES(loud) };
	struct spec_grow grow[] = { GROW("fc", NAME, DEFAULT) };
	struct test t = {0};

	linear(&t.ours, OURS, 3, 2, "hidden");
	linear(&t.file, OURS, 3, 2, "hidden");
	head(&t, OURS, 5, 4);
	plan_of(&t, grow, 1, WARM_PYTORCH, &apart, NULL);
	t_has(t.m.faults, "model.grow: fc.weight is matched by name, and none "
	    "of the 4 classes of the file (\"crack\", \"fray\", \"uneven\" ...) "
	    "is one of the job's 5 (\"CRACK\", \"FRAY\", \"DENT\" ...), so that "
	    "all of its rows would begin anew: want model.checkpoint_classes "
	    "with");
	t_eq_int(t.m.why.n, 1);
	loosely(&t);
	t_eq_str(t.m.faults, "");
	notes_have(&t, "none of the 4 classes of the file is one of the job's, "
	    "so that all rows of fc.weight begin anew");
	/* One is enough: the rest may be new. */
	const struct warm_sides some = { NAMES(old), NAMES(new) };
	again(&t, &some, true);
	t_eq_str(t.m.faults, "");
	test_fini(&t);
}

T_CASE(a_head_of_unknown_classes_is_told_what_may_be_done)
{
	const struct warm_sides ours = { { NULL, 0 }, NAMES(new) };
	struct test t = {0};

	linear(&t.ours, OURS, 3, 2, "hidden");
	linear(&t.file, OURS, 3, 2, "hidden");
	head(&t, OURS, 5, 4);
	plan_of(&t, NULL, 0, WARM_PYTORCH, &ours, NULL);
	t_has(t.m.faults, "fc.weight: does not match: file [4,3], model [5,3]; "
	    "model.mismatch: {\"fc.*\": init} begins it anew; model.grow: [fc] "
	    "with model.checkpoint_classes (");
	test_fini(&t);
}

T_CASE(classes_that_the_checkpoint_calls_otherwise_are_said)
{
	static const char *const turned[] = { "crack", "void", "uneven",
		"fray" };
	static const char *const spelt[] = { "crack", "fray", "Uneven",
		"void" };
	const struct warm_sides order = { NAMES(turned), NAMES(new) };
	const struct warm_sides other = { NAMES(spelt), NAMES(new) };
	struct spec_grow grow[] = { GROW("fc", NAME, DEFAULT) };
	struct test t = {0};

	head(&t, OURS, 5, 4);
	plan_of(&t, grow, 1, WARM_PYTORCH, &both, NULL);
	t.m.want.told = (struct warm_names)NAMES(old);
	again(&t, &both, true);
	t_eq_str(t.m.faults, "");
	char *notes = rkj_text(t.m.plan->notes);
	t_check(strstr(notes, "calls them otherwise") == NULL);
	free(notes);
	again(&t, &other, true);
	t_eq_str(t.m.faults, "");
	notes_have(&t, "model.checkpoint_classes, which counts, calls them "
	    "otherwise: class 2 is \\\"uneven\\\" there and \\\"Uneven\\\" in the "
	    "job");
	again(&t, &order, true);
	t_has(t.m.faults, "model.checkpoint_classes: has the names that the "
	    "checkpoint itself has, in another order: class 1 is \"fray\" "
	    "there and \"void\" here");
	loosely(&t);
	t_eq_str(t.m.faults, "");
	notes_have(&t, "calls them otherwise");
	test_fini(&t);
}

T_CASE(a_pattern_that_fits_nothing_is_refused)
{
	struct spec_grow grow[] = { GROW("head", NAME, DEFAULT) };
	struct test t = {0};

	head(&t, OURS, 4, 4);
	plan_of(&t, grow, 1, WARM_PYTORCH, NULL, NULL);
	t_has(t.m.faults, "model.grow: has \"head\", which fits no layer of "
	    "the model with parameters; its last is fc");
	test_fini(&t);
}

T_CASE(rows_whose_other_sizes_differ_do_not_grow)
{
	struct spec_grow grow[] = { GROW("fc", NAME, DEFAULT) };
	struct test t = {0};

	head(&t, OURS, 5, 4);
	t.file.v[0].d[1] = 7;
	plan_of(&t, grow, 1, WARM_PYTORCH, &both, NULL);
	t_has(t.m.faults, "fc.weight: does not match: file [4,7], model "
	    "[5,3]");
	test_fini(&t);
}

/* --- embeddings ----------------------------------------------------------- */

T_CASE(tokens_are_matched_by_their_names_and_what_is_behind_by_number)
{
	static const char *const was[] = { "[PAD]", "[UNK]", "cat", "dog" };
	static const char *const is[] = { "[PAD]", "[UNK]", "ant", "cat",
		"dog" };
	static const int64_t from[] = { 0, 1, -1, 2, 3, 5, -1 };
	const struct warm_sides words = { NAMES(was), NAMES(is) };
	struct spec_grow grow[] = { GROW("words", NAME, DEFAULT),
		GROW("places", INDEX, ZERO) };
	struct test t = {0};

	put(&t.ours, WARM_TABLE, DIMS(7, 3), "words.weight");
	t.ours.v[0].rows = WARM_ROWS_TOKENS;
	put(&t.file, WARM_TABLE, DIMS(6, 3), "words.weight");
	put(&t.ours, WARM_TABLE, DIMS(9, 3), "places.weight");
	put(&t.file, WARM_TABLE, DIMS(8, 3), "places.weight");
	plan_of(&t, grow, 2, WARM_PYTORCH, NULL, &words);
	t_eq_str(t.m.faults, "");
	rows_are(&t, "words.weight", from, 7);
	t_eq_int(row_of(&t.m, "places.weight")->grown.kept, 8);
	char *notes = rkj_text(t.m.plan->notes);
	t_has(notes, "1 token begins as in a cold start: ant");
	free(notes);
	made_fini(&t.m);
	plan_of(&t, grow, 2, WARM_PYTORCH, NULL, NULL);
	t_has(t.m.faults, "words.weight is matched by name, and what the "
	    "tokens of the file are called is not known: want "
	    "model.checkpoint_vocabulary");
	test_fini(&t);
}

/* --- channels ------------------------------------------------------------- */

T_CASE(input_channels_are_summed_spread_or_go_by_number)
{
	static const struct {
		int64_t ours, file;
		enum spec_grow_match match;
		enum warm_growth way;
		const char *why;
	} ways[] = {
		{ 1, 3, SPEC_GROW_NAME, WARM_SUM, "the sum of 3 input "
		    "channels" },
		{ 3, 1, SPEC_GROW_NAME, WARM_SPREAD, "each of 3 input "
		    "channels has an equal part of the file's one" },
		{ 4, 3, SPEC_GROW_INDEX, WARM_BY_CHANNELS, "3 channels kept "
		    "by number; 1 new, as in a cold start" },
		{ 2, 3, SPEC_GROW_INDEX, WARM_BY_CHANNELS, "2 channels kept "
		    "by number; 1 dropped" },
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(ways); i++) {
		struct spec_grow grow[] = { GROW("conv1", NAME, DEFAULT) };
		struct test t = {0};
		grow[0].match = ways[i].match;
		put(&t.ours, WARM_CONV, DIMS(8, ways[i].ours, 3, 3),
		    "conv1.weight");
		put(&t.file, WARM_CONV, DIMS(8, ways[i].file, 3, 3),
		    "conv1.weight");
		plan_of(&t, grow, 1, WARM_PYTORCH, NULL, NULL);
		t_eq_str(t.m.faults, "");
		t_eq_int(row_of(&t.m, "conv1.weight")->grown.way,
		    ways[i].way);
		t_eq_str(row_of(&t.m, "conv1.weight")->why, ways[i].why);
		test_fini(&t);
	}
}

T_CASE(channels_have_no_names)
{
	struct spec_grow grow[] = { GROW("conv1", NAME, DEFAULT) };
	struct test t = {0};

	put(&t.ours, WARM_CONV, DIMS(8, 4, 3, 3), "conv1.weight");
	put(&t.file, WARM_CONV, DIMS(8, 3, 3, 3), "conv1.weight");
	plan_of(&t, grow, 1, WARM_PYTORCH, NULL, NULL);
	t_has(t.m.faults, "conv1.weight has 3 input channels in the file and 4 "
	    "in the model, which have no names: want model.grow: {conv1: "
	    "{match: index}}");
	test_fini(&t);
}

/* --- the report ----------------------------------------------------------- */

T_CASE(a_plan_names_what_is_kept_new_and_dropped)
{
	struct spec_grow grow[] = { GROW("fc", NAME, MEAN) };
	struct test t = {0};

	head(&t, OURS, 5, 4);
	plan_of(&t, grow, 1, WARM_PYTORCH, &both, NULL);
	json_t *v = warm_plan_json(t.m.plan, "x");
	char *classes = rkj_text(json_object_get(v, "classes"));
	char *grown = rkj_text(json_object_get(json_array_get(
	    json_object_get(v, "tensors"), 0), "grown"));
	t_eq_str(classes, "{\"dropped\":[\"uneven\"],\"kept\":[\"crack\","
	    "\"fray\",\"void\"],\"new\":[\"blowhole\",\"dent\"]}");
	t_eq_str(grown, "{\"dropped\":1,\"init\":\"mean\",\"kept\":3,"
	    "\"match\":\"name\",\"new\":2,\"way\":\"rows\"}");
	struct strbuf b = {0};
	warm_plan_table(t.m.plan, &b);
	t_has(b.s, "grow       fc.weight");
	sb_fini(&b);
	free(classes);
	free(grown);
	json_decref(v);
	test_fini(&t);
}

T_MAIN
