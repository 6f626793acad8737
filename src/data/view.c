/* A picture that is none of the data's: see data_view.h. */
#include <stdlib.h>
#include <string.h>

#include "held.h"
#include "lazy.h"
#include "rekindle/data_view.h"
#include "transform.h"

#define VIEW_TAG 0x76696577u

struct data_view {
	unsigned tag;
	struct transform_plan *plan;    /* of validation; NULL: no transforms */
	struct transform_room *room;
	struct image_room *pictures;    /* without transforms */
	int64_t from[3], d[3];          /* before and behind */
};

static bool
has_transforms(const struct spec_data *s)
{
	return s->train_transforms.n + s->validation_transforms.n > 0;
}

/* The shape of pictures before the transforms, as far as the job says it. */
static bool
said(const struct spec_data *s, int64_t from[3])
{
	const struct spec_source *t = &s->train;

	switch (t->type) {
	case SPEC_CIFAR:
		memcpy(from, (const int64_t[]){ 3, 32, 32 },
		    3 * sizeof(*from));
		return true;
	case SPEC_IMAGE_FOLDER:
		from[0] = t->channels;
		from[1] = t->image_size[0];
		from[2] = t->image_size[1];
		return from[1] > 0 ||
		    transform_makes_size(&s->train_transforms);
	case SPEC_NPY:
	case SPEC_NPZ:
		memcpy(from, t->shape, 3 * sizeof(*from));
		return t->ndim == 3;
	case SPEC_IDX:
	case SPEC_CSV:
	case SPEC_SYNTHETIC:
	case SPEC_TEXT:
		break;
	}
	return false;
}

bool
data_view_is_said(const struct spec_data *s)
{
	int64_t from[3];

	return !has_transforms(s) || said(s, from);
}

bool
data_view_from(const struct data_set *of, int64_t from[3])
{
	if (of->lazy == NULL || of->lazy->from[0] < 1 || of->lazy->from[1] < 1)
		return false;
	memcpy(from, of->lazy->from, 3 * sizeof(*from));
	return true;
}

static enum rk_err
check_shape(const struct data_view *v, struct rk_why *why)
{
	int64_t d[3];

	transform_shape(v->plan, d);
	if (memcmp(d, v->d, sizeof(d)) == 0)
		return RK_OK;
	return rk_refuse_at(why, "data.transforms.validation", "makes pictures "
	    "of %lld x %lld x %lld (channels x height x width), and the "
	    "network takes %lld x %lld x %lld", (long long)d[0],
	    (long long)d[1], (long long)d[2], (long long)v->d[0],
	    (long long)v->d[1], (long long)v->d[2]);
}

static enum rk_err
make_plan(struct data_view *v, const struct spec_data *s,
    const struct data_set *of, struct rk_why *why)
{
	if (of != NULL && of->lazy != NULL && of->lazy->from[0] > 0)
		memcpy(v->from, of->lazy->from, sizeof(v->from));
	else
		must(said(s, v->from));
	if (v->from[0] != 1 && v->from[0] != 3)
		return rk_refuse_at(why, "data.transforms", "are for pictures "
		    "with one or three channels, and the job's have %lld",
		    (long long)v->from[0]);
	enum rk_err rc = transform_plan_new(&v->plan,
	    &s->validation_transforms, "data.transforms.validation", v->from,
	    why);
	return rc == RK_OK ? check_shape(v, why) : rc;
}

enum rk_err
data_view_new(const struct spec_data *s, const int64_t d[3],
    const struct data_set *of, struct data_view **vp, struct rk_why *why)
{
	struct data_view *v = xcalloc(1, sizeof(*v));
	enum rk_err rc = RK_OK;

	must(d[0] == 1 || d[0] == 3);
	v->tag = VIEW_TAG;
	memcpy(v->d, d, sizeof(v->d));
	v->room = transform_room_new();
	v->pictures = image_room_new();
	if (has_transforms(s))
		rc = make_plan(v, s, of, why);
	if (rc == RK_OK)
		*vp = v;
	else
		data_view_free(v);
	return rc;
}

void
data_view_free(struct data_view *v)
{
	if (v == NULL)
		return;
	must_be(v, VIEW_TAG);
	transform_plan_free(v->plan);
	transform_room_free(v->room);
	image_room_free(v->pictures);
	v->tag = 0;
	free(v);
}

/* Validation draws nothing: any sample's key is as good. */
static const struct transform_key any_key;

static struct transform_norm
norm_of(const struct data_view_norm *n)
{
	return (struct transform_norm){ n->scale, n->shift, n->n };
}

enum rk_err
data_view_file(struct data_view *v, const uint8_t *bytes, size_t n,
    const char *what, const struct data_view_norm *norm, float *x,
    struct rk_why *why)
{
	const struct transform_norm by = norm_of(norm);
	struct image im;

	must_be(v, VIEW_TAG);
	if (v->plan != NULL)
		return transform_file(v->plan, v->room, &any_key, bytes, n,
		    what, &by, x, why);
	enum rk_err rc = image_decode(v->pictures, bytes, n, what, NULL,
	    (int)v->d[0], &im, why);
	if (rc != RK_OK)
		return rc;
	image_resize(v->pictures, &im, v->d[2], v->d[1]);
	image_floats(&im, by.scale, by.shift, by.n, x);
	return RK_OK;
}

bool
data_view_takes_pixels(const struct data_view *v, int64_t from[3])
{
	memcpy(from, v->from, sizeof(v->from));
	return v->plan != NULL && v->from[1] > 0;
}

enum rk_err
data_view_pixels(struct data_view *v, const uint8_t *planes, const char *what,
    const struct data_view_norm *norm, float *x, struct rk_why *why)
{
	const struct transform_norm by = norm_of(norm);

	must_be(v, VIEW_TAG);
	must(v->plan != NULL && v->from[1] > 0);
	return transform_planes(v->plan, v->room, &any_key, planes,
	    v->from[1], v->from[2], what, &by, x, why);
}
