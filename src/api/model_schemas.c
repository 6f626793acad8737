/*
 * `model` and `data.transforms` of a job as JSON Schema, made from spec's
 * tables of ops, of architectures and of transforms: LayerType, LayerFields
 * (all fields that any op has) and Model; TransformType and TransformFields.
 */
#include <math.h>
#include <string.h>

#include "impl.h"

#define REF(name) "#/components/schemas/" name

static void
put(json_t *o, const char *key, json_t *v)
{
	must(v != NULL && json_object_set_new(o, key, v) == 0);
}

static json_t *
list_of_words(const char *words)
{
	json_t *a = json_array();

	while (*words != '\0') {
		const size_t n = strcspn(words, "|");
		must(json_array_append_new(a, json_stringn(words, n)) == 0);
		words += n + (words[n] == '|');
	}
	return a;
}

static void
put_range(json_t *o, const struct spec_field *f, bool whole)
{
	put(o, f->ends & SPEC_ABOVE ? "exclusiveMinimum" : "minimum", whole ?
	    json_integer((json_int_t)f->lo) : json_real(f->lo));
	put(o, f->ends & SPEC_BELOW ? "exclusiveMaximum" : "maximum", whole ?
	    json_integer((json_int_t)f->hi) : json_real(f->hi));
}

static json_t *
field_schema(const struct spec_field *f)
{
	json_t *o = json_object(), *item;

	switch (f->kind) {
	case SPEC_KIND_INT:
		put(o, "type", json_string("integer"));
		put_range(o, f, true);
		break;
	case SPEC_KIND_REAL:
		put(o, "type", json_string("number"));
		put_range(o, f, false);
		break;
	case SPEC_KIND_BOOL:
		put(o, "type", json_string("boolean"));
		break;
	case SPEC_KIND_PAIR:
	case SPEC_KIND_SIZE:
		put(o, "$ref", json_string(REF("Pair")));
		break;
	case SPEC_KIND_WORD:
		put(o, "enum", list_of_words(f->words));
		break;
	case SPEC_KIND_INTS:
		put(o, "type", json_string("array"));
		item = json_pack("{s:s}", "type", "integer");
		put_range(item, f, true);
		put(o, "items", item);
		put(o, "minItems", json_integer(f->min));
		put(o, "maxItems", json_integer(f->max));
		break;
	case SPEC_KIND_NODE:
		put(o, "type", json_string("string"));
		break;
	case SPEC_KIND_RANGE:
		put(o, "type", json_string("array"));
		item = json_pack("{s:s}", "type", "number");
		put_range(item, f, false);
		put(o, "items", item);
		put(o, "minItems", json_integer(2));
		put(o, "maxItems", json_integer(2));
		break;
	}
	return o;
}

/* What another form has of a field that is there: words beside words, and no
 * range where the two are not the same. */
static void
widen(json_t *was, const json_t *by)
{
	static const char *const bounds[] = { "minimum", "exclusiveMinimum",
		"maximum", "exclusiveMaximum" };
	json_t *known = json_object_get(was, "enum"), *word;
	size_t i;

	json_array_foreach(json_object_get(by, "enum"), i, word) {
		bool there = false;
		for (size_t k = 0; k < json_array_size(known); k++)
			there |= json_equal(json_array_get(known, k), word);
		if (!there && known != NULL)
			must(json_array_append(known, word) == 0);
	}
	for (i = 0; i < RK_ARRAY_LEN(bounds); i++)
		if (!json_equal(json_object_get(was, bounds[i]),
		    json_object_get(by, bounds[i])))
			json_object_del(was, bounds[i]);
}

/* The fields of all forms of a table, those of one key as one that allows what
 * any of them does. */
static void
put_fields(json_t *properties, const struct spec_form *forms, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		for (const struct spec_field *f = forms[i].fields;
		    f->key != NULL; f++) {
			json_t *s = field_schema(f);
			json_t *was = json_object_get(properties, f->key);

			if (was == NULL) {
				put(properties, f->key, s);
				continue;
			}
			widen(was, s);
			json_decref(s);
		}
	}
}

static json_t *
words(const char *const *w)
{
	json_t *a = json_array();

	for (; *w != NULL; w++)
		must(json_array_append_new(a, json_string(*w)) == 0);
	return json_pack("{s:o}", "enum", a);
}

/* "linear: y = x W^T ...; conv2d: ..." */
static json_t *
texts(const struct spec_form *forms, int n)
{
	struct strbuf b = { 0 };

	for (int i = 0; i < n; i++)
		sb_addf(&b, "%s%s: %s", i > 0 ? "; " : "", forms[i].word,
		    forms[i].text);
	json_t *s = json_string(sb_str(&b));
	sb_fini(&b);
	return s;
}

void
openapi_put_model(json_t *schemas)
{
	json_t *layer = json_object_get(json_object_get(schemas,
	    "LayerFields"), "properties");
	json_t *model = json_object_get(json_object_get(schemas, "Model"),
	    "properties");
	json_t *type = words(spec_op_words);

	must(layer != NULL && model != NULL);
	put(type, "description", texts(spec_ops, SPEC_OP_COUNT));
	put(schemas, "LayerType", type);
	put_fields(layer, spec_ops, SPEC_OP_COUNT);
	put(model, "arch", words(spec_arch_words + 1));
	put_fields(model, spec_families, SPEC_FAMILY_COUNT);
}

void
openapi_put_transforms(json_t *schemas)
{
	json_t *fields = json_object_get(json_object_get(schemas,
	    "TransformFields"), "properties");
	json_t *type = words(spec_transform_words);

	must(fields != NULL);
	put(type, "description", texts(spec_transform_forms, SPEC_T_COUNT));
	put(schemas, "TransformType", type);
	put_fields(fields, spec_transform_forms, SPEC_T_COUNT);
}
