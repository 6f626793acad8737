/*
 * Sources of arrays: npy, a file of features and one of labels, and npz, an
 * archive with both.
 */
#include <stdlib.h>
#include <string.h>

#include "read.h"

#define MAX_NAME 256

/* The name of an array in an archive; its own default where it is not said. */
static void
read_name(struct rkj_obj *o, const char *key, const char *def, char **out)
{
	if (rkj_any(o, key) == NULL)
		*out = xstrdup(def);
	else if (rkj_str(o, key, out, MAX_NAME, RKJ_REQUIRED) &&
	    (*out)[0] == '\0')
		rkj_fault(o, key, "is empty, want the name of an array");
}

void
sp_read_array(struct spec_source *s, struct rkj_obj *o)
{
	sp_read_path(o, "path", &s->path, RKJ_REQUIRED);
	if (s->type == SPEC_NPY) {
		sp_read_path(o, "labels", &s->labels, RKJ_REQUIRED);
	} else {
		read_name(o, "features", "x", &s->features);
		read_name(o, "labels", "y", &s->labels);
		if (s->features != NULL && s->labels != NULL &&
		    strcmp(s->features, s->labels) == 0)
			rkj_fault(o, "labels", "is \"%s\", and so are the "
			    "features: want two arrays", s->labels);
	}
	if (rkj_any(o, "shape") != NULL)
		sp_read_shape(s, o);
	if (rkj_any(o, "vocabulary") != NULL)
		rkj_int(o, "vocabulary", &s->vocabulary, 2, SPEC_MAX_WIDTH,
		    RKJ_OPTIONAL);
}

void
sp_put_array(json_t *o, const struct spec_source *s)
{
	sp_put(o, "path", json_string(s->path));
	if (s->type == SPEC_NPZ)
		sp_put(o, "features", json_string(s->features));
	sp_put(o, "labels", json_string(s->labels));
	if (s->ndim > 0)
		sp_put(o, "shape", sp_json_shape(s));
	if (s->vocabulary > 0)
		sp_put(o, "vocabulary", json_integer(s->vocabulary));
}
