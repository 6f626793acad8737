/* Lineage, comparison and card of versions, from records right and wrong. */
#include "rekindle/models_views.h"
#include "t.h"

static json_t *
tree(const char *text)
{
	json_t *v = NULL;
	struct rk_why why = {0};

	if (rkj_parse_yaml(text, strlen(text), &v, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	return v;
}

static enum models_now
now(void *ctx, const char *model, int64_t version)
{
	(void)ctx;
	if (strcmp(model, "tiles") != 0)
		return MODELS_UNKNOWN;
	return version == 1 ? MODELS_DELETED : MODELS_THERE;
}

static const char second[] =
	"{model: tiles, version: 2, id: 01b, author: ana, arch: resnet18,\n"
	" created_at: 2026-11-30T10:00:00Z, digest: bbbb, bytes: 1048576,\n"
	" model_format: safetensors, classes: [a, b, c], notes: hello,\n"
	" aliases: [production], labels: {team: qa},\n"
	" input: {dtype: f32, shape: [1, 64, 64]},\n"
	" source: {kind: job, job: 01j2, name: six, checkpoint: step-000000009,\n"
	"    step: 9, epoch: 3},\n"
	" spec: {model: {arch: resnet18, checkpoint: 'model://tiles/1',\n"
	"    checkpoint_said: 'model://tiles@production', grow: [fc]},\n"
	"    training: {epochs: 20, batch_size: 32, steps: 0,\n"
	"    optimizer: {type: adamw, learning_rate: 0.001},\n"
	"    phases: [{train: ['fc.*'], epochs: 2}, {train: ['*']}]}},\n"
	" metrics: {val_accuracy: 0.9, val_loss: 0.25},\n"
	" per_class: [{name: a, support: 10, precision: 1.0, recall: 0.5,\n"
	"    f1: 0.75}, {name: c, support: 5, f1: 0.5}],\n"
	" data: {source: line 7, train: {digest: t2},\n"
	"    validation: {digest: v, samples: 15}},\n"
	" evaluations: [{data: {digest: w, source: night}, metrics:\n"
	"    {accuracy: 0.8}}],\n"
	" files: [{name: model.safetensors, size: 1048576, sha256: bbbb}],\n"
	" lineage: {kind: job, job: 01j2, name: six, checkpoint:\n"
	"    step-000000009, plan: 'loaded 60 of 62 tensors',\n"
	"    parents: [{kind: version, model: tiles, version: 1,\n"
	"    parents: [{kind: job, job: 01j1, name: four, checkpoint: latest,\n"
	"    parents: [{kind: file, address: 's3://b/m.pdparams', sha256: ffff,\n"
	"    parents: []}]}]}, {kind: version, model: others, version: 9,\n"
	"    parents: []}]}}";
static const char first[] =
	"{model: tiles, version: 1, digest: aaaa, arch: resnet18,\n"
	" spec: {model: {arch: resnet18}, training: {epochs: 60,\n"
	"    batch_size: 32, optimizer: {type: adamw, learning_rate: 0.001}}},\n"
	" metrics: {val_accuracy: 0.75, ece: 0.1},\n"
	" per_class: [{name: a, f1: 0.5}, {name: b, f1: 1.0}],\n"
	" data: {train: {digest: t1}, validation: {digest: w}}}";

static const json_t *
parent(const json_t *node, size_t i)
{
	return json_array_get(json_object_get(node, "parents"), i);
}

/* --- lineage -------------------------------------------------------------- */

T_CASE(a_lineage_goes_from_the_version_to_its_first_ancestor)
{
	json_t *record = tree(second), *l = models_lineage(record, now, NULL);
	const json_t *job = parent(l, 0), *one = parent(job, 0);
	const json_t *file = parent(parent(one, 0), 0);

	t_eq_str(json_string_value(json_object_get(l, "kind")), "version");
	t_eq_str(json_string_value(json_object_get(job, "name")), "six");
	t_eq_int(json_integer_value(json_object_get(one, "version")), 1);
	t_check(json_is_true(json_object_get(one, "deleted")));
	t_check(json_object_get(l, "deleted") == NULL);
	t_check(json_is_true(json_object_get(parent(job, 1), "unknown")));
	t_eq_str(json_string_value(json_object_get(file, "address")),
	    "s3://b/m.pdparams");
	t_eq_int(json_array_size(json_object_get(file, "parents")), 0);
	json_decref(l);
	json_decref(record);
}

T_CASE(a_lineage_that_begins_with_the_version_itself_has_it_once)
{
	json_t *record = tree("{model: m, version: 3, lineage: {kind: version,"
	    " model: m, version: 3, parents: [{kind: file, sha256: ff}]}}");
	json_t *l = models_lineage(record, now, NULL);

	t_eq_str(json_string_value(json_object_get(parent(l, 0), "kind")),
	    "file");
	json_decref(l);
	json_decref(record);
}

T_CASE(a_lineage_is_cut_where_it_is_too_deep)
{
	json_t *record = tree("{model: m, version: 1}"), *at = json_object();
	int depth = 0;

	json_object_set_new(record, "lineage", at);
	for (int i = 0; i < 200; i++) {
		json_t *next = json_object();
		json_object_set_new(at, "kind", json_string("job"));
		json_object_set_new(at, "parents", json_pack("[o]", next));
		at = next;
	}
	json_t *l = models_lineage(record, now, NULL);
	const json_t *n = l;
	while (parent(n, 0) != NULL) {
		n = parent(n, 0);
		depth++;
	}
	t_eq_int(depth, 64);
	t_check(json_is_true(json_object_get(n, "cut")));
	json_decref(l);
	json_decref(record);
}

T_CASE(a_lineage_that_was_edited_by_hand_loses_what_is_none)
{
	json_t *record = tree("{model: m, version: 1, lineage: {kind: job,"
	    " job: 7, name: [x], parents: [{kind: spy}, 3, null, {kind: file,"
	    " address: {a: 1}, cut: true,"
	    " secret: x}]}}");
	json_t *l = models_lineage(record, now, NULL);
	const json_t *job = parent(l, 0);

	t_check(json_object_get(job, "job") == NULL);
	t_check(json_object_get(job, "name") == NULL);
	t_eq_int(json_array_size(json_object_get(job, "parents")), 1);
	t_eq_int(json_object_size(parent(job, 0)), 3);  /* kind, cut, parents */
	json_decref(l);
	json_decref(record);
}

/* --- comparison ----------------------------------------------------------- */

static const json_t *
entry(const json_t *list, const char *key, const char *name)
{
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v)
		if (strcmp(json_string_value(json_object_get(v, key)), name) ==
		    0)
			return v;
	t_fail("no %s %s", key, name);
}

static double
diff_of(const json_t *o)
{
	return json_number_value(json_object_get(o, "difference"));
}

T_CASE(two_versions_are_compared_by_metric_class_and_data)
{
	json_t *a = tree(first), *b = tree(second);
	json_t *c = models_compare(a, b, NULL, NULL);
	const json_t *m = json_object_get(c, "metrics");
	const json_t *classes = json_object_get(c, "per_class");
	const json_t *same = json_object_get(c, "same_data");
	const json_t *data = json_object_get(c, "data");

	t_check(fabs(diff_of(entry(m, "metric", "val_accuracy")) - 0.15) <
	    1e-9);
	t_check(json_is_null(json_object_get(entry(m, "metric", "ece"), "b")));
	t_check(json_is_null(json_object_get(entry(m, "metric", "val_loss"),
	    "difference")));
	t_check(fabs(json_number_value(json_object_get(json_object_get(
	    entry(classes, "name", "a"), "difference"), "f1")) - 0.25) < 1e-9);
	t_check(json_is_null(json_object_get(entry(classes, "name", "c"),
	    "a")));
	/* b was evaluated on what a validated on. */
	t_eq_int(json_array_size(same), 1);
	t_check(fabs(diff_of(entry(json_object_get(entry(same, "digest", "w"),
	    "metrics"), "metric", "accuracy")) - 0.05) < 1e-9);
	t_check(json_is_false(json_object_get(json_object_get(data, "train"),
	    "equal")));
	t_check(json_is_null(json_object_get(c, "tensors")));
	json_decref(c);
	json_decref(a);
	json_decref(b);
}

T_CASE(jobs_are_compared_by_the_paths_of_their_fields)
{
	json_t *a = tree(first), *b = tree(second);
	json_t *c = models_compare(a, b, NULL, NULL);
	const json_t *jobs = json_object_get(c, "jobs");
	const json_t *epochs = entry(jobs, "path", "training.epochs");
	const json_t *warm = entry(jobs, "path", "model.checkpoint");

	t_eq_int(json_integer_value(json_object_get(epochs, "a")), 60);
	t_eq_int(json_integer_value(json_object_get(epochs, "b")), 20);
	t_check(json_object_get(warm, "a") == NULL);
	t_eq_int(json_array_size(jobs), 6);
	json_decref(c);
	json_decref(a);
	json_decref(b);
}

T_CASE(tensors_are_the_same_of_another_form_or_in_one_alone)
{
	json_t *a = tree(first), *b = tree(second);
	json_t *ta = tree("{tensors: [{name: x, dtype: F32, shape: [4]},"
	    " {name: y, dtype: F32, shape: [4]}, {name: z, dtype: F32,"
	    " shape: []}]}");
	json_t *tb = tree("{tensors: [{name: x, dtype: F32, shape: [4]},"
	    " {name: y, dtype: F32, shape: [6]}, {name: w, dtype: F32,"
	    " shape: [1]}]}");
	json_t *c = models_compare(a, b, ta, tb);
	const json_t *t = json_object_get(c, "tensors");
	const json_t *y = entry(json_object_get(t, "different"), "name", "y");

	t_eq_int(json_integer_value(json_object_get(t, "same")), 1);
	t_eq_int(json_integer_value(json_array_get(json_object_get(
	    json_object_get(y, "b"), "shape"), 0)), 6);
	entry(json_object_get(t, "only_a"), "name", "z");
	entry(json_object_get(t, "only_b"), "name", "w");
	json_decref(c);
	json_decref(ta);
	json_decref(tb);
	json_decref(a);
	json_decref(b);
}

/* --- card ----------------------------------------------------------------- */

static char *
card_of(const char *text, const char *tensors)
{
	json_t *record = tree(text), *l = models_lineage(record, now, NULL);
	json_t *t = tensors != NULL ? tree(tensors) : NULL;
	char *card = models_card(record, l, t);

	json_decref(record);
	json_decref(l);
	json_decref(t);
	return card;
}

T_CASE(a_card_says_what_is_recorded)
{
	char *card = card_of(second, "[{name: x, shape: [1000, 3]},"
	    " {name: y, shape: []}]");

	t_has(card, "# tiles, version 2\n");
	t_has(card, "**Aliases:** `production`");
	t_has(card, "**Architecture:** `resnet18`");
	t_has(card, "**Parameters:** 3,001 numbers in 2 tensors");
	t_has(card, "**Classes:** 3: `a`, `b`, `c`");
	t_has(card, "torch.load(\"DIR/model.pt\")");
	t_has(card, "| `val_accuracy` | 0.9 |");
	t_has(card, "| `a` | 10 | 1 | 0.5 | 0.75 |");
	t_has(card, "`adamw` (learning\\_rate 0.001)");
	t_has(card, "**Phases:** `fc.*` for 2 epochs; then `*`");
	t_has(card, "from `model://tiles@production`, which was "
	    "`model://tiles/1`, growing `[\"fc\"]`");
	t_check(strstr(card, "Steps") == NULL);
	t_has(card, "loaded 60 of 62 tensors");
	t_has(card, "    - `tiles/1`, **deleted**\n");
	t_has(card, "file `s3://b/m.pdparams`, SHA-256 `ffff`");
	t_has(card, "> hello\n");
	free(card);
}

T_CASE(a_card_invents_nothing)
{
	char *card = card_of("{model: m, version: 1}", NULL);

	t_has(card, "**Author:** not recorded");
	t_has(card, "**Architecture:** not recorded");
	t_has(card, "**Parameters:** not recorded");
	t_has(card, "**Recipe:** not recorded");
	t_has(card, "Metrics: not recorded.");
	t_has(card, "Of its network nothing is recorded");
	t_has(card, "## Notes\n\nnot recorded\n");
	free(card);
}

T_CASE(a_card_says_what_was_too_long_for_the_record)
{
	char *card = card_of("{model: m, version: 1, classes: null, spec: null,"
	    " left_out: [classes, 7]}", NULL);

	t_has(card, "**Classes:** too long for the record");
	t_has(card, "**Recipe:** not recorded");
	free(card);
}

T_CASE(what_others_wrote_is_text_in_a_card)
{
	char *card = card_of("{model: m, version: 1, author: \"<b>x</b>\\n"
	    "# y\", notes: \"# head\\n- [a](http://b) `c`\\n\\n    code\\n"
	    "1. x\\n|a|b|\\n\\u202ez\", classes: ['a`b', 'c|d', ''],\n"
	    " metrics: {'a|b': 1}}", NULL);

	t_has(card, "\\<b\\>x\\</b\\> # y");
	t_has(card, "> \\# head\n>\n> \\- \\[a\\](http\\://b) \\`c\\`\n");
	t_has(card, "> code\n");
	t_has(card, "> 1\\. x\n>\n> \\|a\\|b\\|\n>\n> ???z\n");
	t_has(card, "`` a`b ``, `c|d`, ");
	t_has(card, "| `a\\|b` | 1 |");
	free(card);
}

T_CASE(a_model_of_another_name_than_a_model_has_is_in_no_command)
{
	char *card = card_of("{model: \"x; rm -rf /\", version: 1,"
	    " arch: mlp}", NULL);

	t_has(card, "models pull MODEL/1 DIR");
	t_check(strstr(card, "pull x") == NULL);
	free(card);
}

T_MAIN
