/* What a checkpoint says of a sample: all that one needs to know to put another
 * to the network.  ckpt.h has the words. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rekindle/data_view.h"
#include "run.h"

/* A float as a double has all its bits. */
static json_t *
floats_json(const float *v, int64_t n)
{
	json_t *a = json_array();

	for (int64_t i = 0; i < n; i++)
		must(json_array_append_new(a, json_real((double)v[i])) == 0);
	return a;
}

static json_t *
normalize_json(const struct run *r)
{
	const struct data_set *d = r->train;
	json_t *o = json_object();

	js_put(o, "type", json_string(spec_norm_words[
	    r->spec->data.normalize.type]));
	js_put(o, "count", json_integer(d->nnorm));
	if (d->nnorm <= CKPT_NORMALIZE_MAX) {
		js_put(o, "scale", floats_json(d->scale, d->nnorm));
		js_put(o, "shift", floats_json(d->shift, d->nnorm));
	}
	return o;
}

/* What the columns of a table are called; null: they have no names.  NULL: too
 * much to keep. */
static json_t *
columns_json(const struct data_set *d)
{
	json_t *a = json_array();
	size_t all = 0;

	for (int64_t i = 0; i < d->width; i++) {
		char *name = data_column(d, i);
		if (name == NULL) {
			json_decref(a);
			return json_null();
		}
		all += strlen(name);
		must(json_array_append_new(a, json_string(name)) == 0);
		free(name);
		if (i == CKPT_NORMALIZE_MAX || all > CKPT_COLUMNS_BYTES) {
			json_decref(a);
			return NULL;
		}
	}
	return a;
}

static json_t *
hash_json(uint64_t hash)
{
	char hex[24];

	snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)hash);
	return json_string(hex);
}

/* Where only the data say what transforms begin with. */
static void
put_pixels(const struct run *r, json_t *o)
{
	int64_t from[3];

	if (!data_view_is_said(&r->spec->data) &&
	    data_view_from(r->train, from))
		js_put(o, "pixels", json_pack("[I, I, I]", (json_int_t)from[0],
		    (json_int_t)from[1], (json_int_t)from[2]));
}

json_t *
input_json(const struct run *r)
{
	const struct data_set *d = r->train;
	json_t *o = json_object(), *shape = json_array(), *columns = NULL;

	for (int i = 0; i < d->ndim; i++)
		must(json_array_append_new(shape, json_integer(d->d[i])) == 0);
	js_put(o, "shape", shape);
	if (nn_input_dtype(r->nn) == NN_I32) {
		js_put(o, "dtype", json_string("i32"));
		js_put(o, "normalize", json_null());
		if (data_reading(d) != 0)
			js_put(o, "tokenizer", hash_json(data_reading(d)));
	} else {
		js_put(o, "dtype", json_string("f32"));
		js_put(o, "normalize", normalize_json(r));
		if (r->spec->data.train.type == SPEC_CSV)
			columns = columns_json(d);
	}
	if (columns != NULL)
		js_put(o, "columns", columns);
	put_pixels(r, o);
	return o;
}

/* IDX and CSV files number their classes.  Outputs that no class has are called
 * by their number. */
json_t *
input_classes(const struct run *r)
{
	const struct data_set *d = r->train != NULL ? r->train : r->valid;
	const int64_t outputs = nn_outputs(r->nn);

	if (d->names == NULL || outputs > CKPT_CLASSES_MAX)
		return NULL;
	json_t *a = json_array();
	for (int64_t i = 0; i < RK_MAX(outputs, d->nclasses); i++) {
		char number[24];
		snprintf(number, sizeof(number), "%lld", (long long)i);
		must(json_array_append_new(a, json_string(i < d->nclasses ?
		    d->names[i] : number)) == 0);
	}
	return a;
}
