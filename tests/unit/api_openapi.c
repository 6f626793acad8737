/* The document says what the server does. */
#include "t.h"

#include "impl.h"

static json_t *doc, *schemas;

static void
load(void)
{
	doc = openapi_tree();
	schemas = json_object_get(json_object_get(doc, "components"),
	    "schemas");
}

static const json_t *
follow(const json_t *schema)
{
	const char *ref = json_string_value(json_object_get(schema, "$ref"));
	static const char prefix[] = "#/components/schemas/";

	if (ref == NULL)
		return schema;
	t_check(strncmp(ref, prefix, strlen(prefix)) == 0);
	const json_t *to = json_object_get(schemas, ref + strlen(prefix));
	if (to == NULL)
		t_fail("%s is not there", ref);
	return to;
}

/* Each $ref anywhere below leads somewhere. */
static void
refs_hold(const json_t *v)
{
	const char *key;
	json_t *x;
	size_t i;

	if (json_is_object(v)) {
		(void)follow(v);
		json_object_foreach((json_t *)(uintptr_t)v, key, x)
			refs_hold(x);
	}
	json_array_foreach(v, i, x)
		refs_hold(x);
}

T_CASE(every_reference_leads_somewhere)
{
	load();
	refs_hold(doc);
	json_decref(doc);
}

T_CASE(every_route_is_in_the_document_once)
{
	const json_t *paths;
	const char *path;
	json_t *item;
	size_t n = 0;

	load();
	paths = json_object_get(doc, "paths");
	json_object_foreach((json_t *)(uintptr_t)paths, path, item)
		n += json_object_size(item) - 1;        /* but parameters */
	t_eq_int(n, nroutes);
	for (size_t i = 0; i < nroutes; i++) {
		for (size_t j = 0; j < i; j++)
			t_check(strcmp(routes[i].op, routes[j].op) != 0);
	}
	json_decref(doc);
}

T_CASE(a_body_that_a_route_takes_is_in_the_document)
{
	load();
	for (size_t i = 0; i < nroutes; i++) {
		if (routes[i].body != NULL)
			t_check(json_object_get(schemas, routes[i].body));
	}
	json_decref(doc);
}

/* Every field of a job's normal form is in its schema. */
static void
fields_known(const json_t *v, const json_t *schema, const char *where)
{
	const char *key;
	json_t *x;
	size_t i;

	schema = follow(schema);
	const json_t *any = json_object_get(schema, "anyOf");
	if (any != NULL && json_is_object(v))   /* a word, or an object */
		schema = follow(json_array_get(any, 1));
	if (json_is_array(v)) {
		json_array_foreach(v, i, x)
			fields_known(x, json_object_get(schema, "items"),
			    where);
		return;
	}
	if (!json_is_object(v) || json_is_object(json_object_get(schema,
	    "additionalProperties")))
		return;
	json_object_foreach((json_t *)(uintptr_t)v, key, x) {
		const json_t *s = json_object_get(json_object_get(schema,
		    "properties"), key);
		if (s == NULL)
			t_fail("%s.%s is not in the schema", where, key);
		fields_known(x, s, key);
	}
}

static void
job_known(const char *yaml)
{
	struct rk_why why = { 0 };
	struct spec *s = NULL;
	json_t *v;

	if (spec_parse_text(yaml, strlen(yaml), true, &s, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	v = spec_json(s);
	fields_known(v, json_object_get(schemas, "JobSpec"), "job");
	json_decref(v);
	spec_free(s);
}

T_CASE(every_field_of_a_job_is_in_its_schema)
{
	load();
	job_known("{name: a, resources: {threads: 1}, labels: {k: v},"
	    " model: {arch: mlp, sizes: [4, 3], checkpoint: /m.safetensors},"
	    " training: {epochs: 1, optimizer: {type: adam}, schedule: {type:"
	    " cosine, warmup_steps: 3}, loss: {type: cross_entropy}},"
	    " data: {train: {type: csv, path: /x, label: y}, validation: {type:"
	    " csv, path: /y, label: -1}}, metadata: {author: me},"
	    " checkpoint: {push: s3://b/p}}");
	job_known("{name: b, model: {input: [1, 8, 8], layers: [{type: conv2d,"
	    " out: 2, kernel: 3}, {type: batch_norm}, {type: max_pool2d,"
	    " kernel: 2}, {type: flatten}, {type: dropout}, {type: linear, out:"
	    " 2}]}, training: {steps: 9, epochs: 2, optimizer: {type: sgd,"
	    " learning_rate: 0.1}, schedule: {type: multistep, milestones: [2,"
	    " 4], warmup_epochs: 1}}, data: {train: {type: idx, images: /i,"
	    " labels: /l}, validation_split: 0.1, normalize: {type: scale,"
	    " mean: 0.5, std: 0.5}}}");
	job_known("{name: c, model: {arch: lenet5, classes: 7}, training:"
	    " {epochs: 2, optimizer: {type: rmsprop}, schedule: {type:"
	    " polynomial, length: 5}}, data: {train: {type: idx, images: /i,"
	    " labels: /l}}}");
	job_known("{name: d, model: {arch: mlp, sizes: [3072, 3]}, training:"
	    " {epochs: 2}, data: {train: {type: cifar, path: [/a, /b], classes:"
	    " 100, label: coarse}, validation: {type: cifar, path: /c,"
	    " classes: 100}}}");
	job_known("{name: e, model: {arch: mlp, sizes: [12, 3]}, training:"
	    " {epochs: 2}, data: {train: {type: synthetic, shape: [3, 2, 2],"
	    " samples: 9}}}");
	job_known("{name: f, model: {arch: mlp, sizes: [12, 3]}, training:"
	    " {epochs: 2}, data: {train: {type: synthetic, tokens: 12,"
	    " vocabulary: 9, samples: 9}}}");
	job_known("{name: g, model: {arch: mlp, sizes: [12, 3]}, training:"
	    " {epochs: 2}, data: {train: {type: npz, path: /x, features: a,"
	    " labels: b, shape: [12]}, validation: {type: npz, path: /y,"
	    " vocabulary: 9}}}");
	job_known("{name: h, model: {arch: mlp, sizes: [12, 3]}, training:"
	    " {epochs: 2}, data: {train: {type: npy, path: /x, labels: /y}}}");
	job_known("{name: d, model: {arch: lenet5}, training: {epochs: 2,"
	    " optimizer: adamw, schedule: {type: step, step_size_epochs: 1}},"
	    " data: {train: {type: idx, images: /i, labels: /l}}}");
	job_known("{name: p, kind: predict, model: {arch: lenet5, checkpoint:"
	    " /m, checkpoint_classes: [a, b]}, data: {inputs: [/x], input:"
	    " {dtype: f32, shape: [1, 28, 28], columns: null, normalize: {type:"
	    " scale, count: 1, scale: [0.5], shift: [0]}}}}");
	job_known("{name: e, kind: evaluate, model: {arch: lenet5, checkpoint:"
	    " /m}, data: {validation: {type: idx, images: /i, labels: /l}}}");
	job_known("{name: e, model: {arch: lenet5}, training: {epochs: 2,"
	    " optimizer: {type: adamw}, schedule: {type: linear,"
	    " length_epochs: 1}}, data: {train: {type: idx, images: /i,"
	    " labels: /l}}}");
	json_decref(doc);
}

/* Every word and the ends of every range that some form of a table takes are
 * allowed by what its schema says of the key. */
static void
forms_allowed(const char *schema, const struct spec_form *forms, size_t n)
{
	const json_t *all = json_object_get(json_object_get(schemas, schema),
	    "properties");

	for (size_t i = 0; i < n; i++) {
		for (const struct spec_field *f = forms[i].fields;
		    f->key != NULL; f++) {
			const json_t *has = json_object_get(all, f->key);
			const json_t *lo = json_object_get(has, "minimum");
			const json_t *hi = json_object_get(has, "maximum");
			if (has == NULL)
				t_fail("%s.%s is not there", schema, f->key);
			for (size_t k = 0; f->words != NULL &&
			    k <= strlen(f->words); k += strcspn(f->words + k,
			    "|") + 1) {
				char *w = xasprintf("%.*s", (int)strcspn(
				    f->words + k, "|"), f->words + k);
				const json_t *x;
				size_t j;
				bool there = false;
				json_array_foreach(json_object_get(has, "enum"),
				    j, x)
					there |= strcmp(json_string_value(x),
					    w) == 0;
				if (!there)
					t_fail("%s.%s has not %s's \"%s\"",
					    schema, f->key, forms[i].word, w);
				free(w);
			}
			if (f->kind != SPEC_KIND_INT &&
			    f->kind != SPEC_KIND_REAL)
				continue;
			if ((lo != NULL && json_number_value(lo) > f->lo) ||
			    (hi != NULL && json_number_value(hi) < f->hi) ||
			    (!(f->ends & SPEC_ABOVE) && json_object_get(has,
			    "exclusiveMinimum") != NULL) ||
			    (!(f->ends & SPEC_BELOW) && json_object_get(has,
			    "exclusiveMaximum") != NULL))
				t_fail("%s.%s has not %s's range", schema,
				    f->key, forms[i].word);
		}
	}
}

T_CASE(the_schema_allows_what_any_op_or_architecture_takes)
{
	load();
	forms_allowed("LayerFields", spec_ops, SPEC_OP_COUNT);
	forms_allowed("Model", spec_families, SPEC_FAMILY_COUNT);
	json_decref(doc);
}

T_MAIN
