/* One sample through data.transforms: pixels, then numbers. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "held.h"
#include "transform_draw.h"
#include "transform_plan.h"

#define PLAN_TAG 0x706c616eu
#define MAX_PIXELS ((int64_t)1 << 26)   /* of a picture on its way */

struct transform_room {
	struct image_room *room;
};

/* --- the plan ------------------------------------------------------------- */

static void
plan_areas(struct transform_plan *p, int i)
{
	const union spec_transform_fields *u = &p->list.v[i].u;

	if (p->list.v[i].type == SPEC_T_random_resized_crop)
		p->areas[i] = areas_of(u->random_resized_crop.scale,
		    u->random_resized_crop.ratio);
	else if (p->list.v[i].type == SPEC_T_random_erasing)
		p->areas[i] = areas_of(u->random_erasing.scale,
		    u->random_erasing.ratio);
}

/* The list that leaves each picture its size; like (NULL: not known): the plan
 * of training, whose pictures have one. */
static enum rk_err
refuse_sizes(const char *path, const struct transform_plan *like,
    struct rk_why *why)
{
	static const char leaves[] = "leaves each picture the size that it "
	    "has, and a network takes one";

	if (like == NULL)
		return rk_refuse_at(why, path, "%s: want resize to [height, "
		    "width], center_crop, random_crop or random_resized_crop "
		    "in it", leaves);
	return rk_refuse_at(why, path, "%s: give it {type: resize, size: "
	    "[%lld, %lld]}, or resize and a center_crop to that size", leaves,
	    (long long)like->d[1], (long long)like->d[2]);
}

static enum rk_err
make_plan(struct transform_plan **pp, const struct spec_transforms *list,
    const char *path, const int64_t d[3], const struct transform_plan *like,
    struct rk_why *why)
{
	int64_t size[2];

	must(d[0] == 1 || d[0] == 3);
	enum rk_err rc = spec_transforms_size(list, path, d[1], d[2], size,
	    why);
	if (rc != RK_OK)
		return rc;
	if (size[0] == 0)
		return refuse_sizes(path, like, why);
	struct transform_plan *p = xcalloc(1, sizeof(*p));
	p->tag = PLAN_TAG;
	p->list = *list;
	p->from[0] = d[1];
	p->from[1] = d[2];
	p->d[0] = d[0];
	p->d[1] = size[0];
	p->d[2] = size[1];
	for (int i = 0; i < list->n; i++)
		plan_areas(p, i);
	*pp = p;
	return RK_OK;
}

enum rk_err
transform_plan_new(struct transform_plan **pp,
    const struct spec_transforms *list, const char *path, const int64_t d[3],
    struct rk_why *why)
{
	return make_plan(pp, list, path, d, NULL, why);
}

void
transform_plan_free(struct transform_plan *p)
{
	if (p == NULL)
		return;
	must_be(p, PLAN_TAG);
	p->tag = 0;
	free(p);
}

enum rk_err
transform_plans(const struct spec_data *s, const int64_t d[3],
    struct transform_plan *plans[2], struct rk_why *why)
{
	static const char *const paths[] = { "data.transforms.train",
		"data.transforms.validation" };

	plans[0] = plans[1] = NULL;
	enum rk_err rc = transform_plan_new(&plans[0], &s->train_transforms,
	    paths[0], d, why);
	if (rc == RK_OK)
		rc = make_plan(&plans[1], &s->validation_transforms, paths[1],
		    d, plans[0], why);
	if (rc == RK_OK && memcmp(plans[0]->d, plans[1]->d,
	    sizeof(plans[0]->d)) != 0)
		rc = rk_refuse_at(why, paths[1], "makes pictures of %lld x "
		    "%lld, and those of training are %lld x %lld (height x "
		    "width): want the same, as by {type: resize, size: [%lld, "
		    "%lld]}", (long long)plans[1]->d[1],
		    (long long)plans[1]->d[2], (long long)plans[0]->d[1],
		    (long long)plans[0]->d[2], (long long)plans[0]->d[1],
		    (long long)plans[0]->d[2]);
	if (rc != RK_OK) {
		transform_plan_free(plans[0]);
		transform_plan_free(plans[1]);
		plans[0] = plans[1] = NULL;
	}
	return rc;
}

/* The size that a crop takes, and what it pads first on either side; NULL: it
 * is no crop. */
static const int *
crop_of(const struct spec_transform *t, const int **padding)
{
	static const int none[2];

	*padding = t->type == SPEC_T_random_crop ? t->u.random_crop.padding :
	    none;
	return t->type == SPEC_T_random_crop ? t->u.random_crop.size :
	    t->type == SPEC_T_center_crop ? t->u.center_crop.size : NULL;
}

static void
remark_crops(const struct transform_plan *p, const char *of, struct held *h)
{
	struct spec_transforms before = p->list;
	int64_t have[2];
	const int *padding;

	for (int i = 0; i < p->list.n; i++) {
		const int *want = crop_of(&p->list.v[i], &padding);
		before.n = i;
		if (want == NULL || spec_transforms_size(&before, "",
		    p->from[0], p->from[1], have, NULL) != RK_OK ||
		    have[0] == 0)
			continue;
		if (want[0] > have[0] + 2 * padding[0] ||
		    want[1] > have[1] + 2 * padding[1])
			held_remark(h, "data.transforms.%s[%d]: %s makes %d x "
			    "%d of pictures of %lld x %lld (height x width): "
			    "what is missing is filled", of, i,
			    spec_transform_words[p->list.v[i].type], want[0],
			    want[1], (long long)have[0], (long long)have[1]);
	}
}

void
transform_remarks(struct transform_plan *const plans[2], struct held *h)
{
	remark_crops(plans[0], "train", h);
	remark_crops(plans[1], "validation", h);
}

bool
transform_makes_size(const struct spec_transforms *list)
{
	int64_t size[2];

	return spec_transforms_size(list, "", 0, 0, size, NULL) == RK_OK &&
	    size[0] > 0;
}

bool
transform_shrinks(const struct spec_transforms *list)
{
	return list->n > 0 && (list->v[0].type == SPEC_T_resize ||
	    list->v[0].type == SPEC_T_random_resized_crop);
}

void
transform_shape(const struct transform_plan *p, int64_t d[3])
{
	memcpy(d, p->d, sizeof(p->d));
}

struct transform_room *
transform_room_new(void)
{
	struct transform_room *r = xcalloc(1, sizeof(*r));

	r->room = image_room_new();
	return r;
}

void
transform_room_free(struct transform_room *r)
{
	if (r == NULL)
		return;
	image_room_free(r->room);
	free(r);
}

/* --- sizes of one picture ------------------------------------------------- */

/* What resize makes of h x w. */
static void
resized(const struct spec_transform_resize *u, int64_t h, int64_t w,
    int64_t to[2])
{
	const int64_t a = u->size.v[0];

	to[0] = to[1] = a;
	if (u->size.n == 2)
		to[1] = u->size.v[1];
	else if (h < w)
		to[1] = a * w / h;
	else
		to[0] = a * h / w;
}

/* Half of what is left over, rounded to even; of what is missing, down. */
static int64_t
half_of(int64_t left)
{
	if (left < 0)
		return -(-left / 2);
	return left / 2 + (left % 2 != 0 && left / 2 % 2 != 0);
}

/* --- pixels --------------------------------------------------------------- */

/* A sample on its way. */
struct on_way {
	const struct transform_plan *p;
	const struct transform_key *k;
	struct image_room *room;
	const char *what;
	struct image im;
	struct rk_why *why;
};

/* box: of the picture what becomes that; NULL: all. */
static enum rk_err
resize_to(struct on_way *s, const struct image_box *box, int64_t h, int64_t w)
{
	if (h < 1 || w < 1 || h * w > MAX_PIXELS)
		return rk_refuse(s->why, "%s: would become %lld x %lld "
		    "(height x width), want at most %lld pixels in all",
		    s->what, (long long)h, (long long)w,
		    (long long)MAX_PIXELS);
	if (box != NULL)
		image_resize_box(s->room, &s->im, box, w, h);
	else
		image_resize(s->room, &s->im, w, h);
	return RK_OK;
}

static void
center_crop(struct on_way *s, const int size[2])
{
	const struct image_part part = { .x = half_of(s->im.w - size[1]),
		.y = half_of(s->im.h - size[0]), .w = size[1], .h = size[0] };

	image_crop(s->room, &s->im, &part, 0);
}

static void
random_crop(struct on_way *s, const struct draws *d,
    const struct spec_transform_random_crop *u)
{
	const int64_t h = s->im.h + 2 * u->padding[0];
	const int64_t w = s->im.w + 2 * u->padding[1];
	const int64_t above = RK_MAX(u->size[0] - h, 0);
	const int64_t left = RK_MAX(u->size[1] - w, 0);
	struct image_part part = { .w = u->size[1], .h = u->size[0] };

	part.y = draw_below(d, 0, h + 2 * above - part.h + 1) - above -
	    u->padding[0];
	part.x = draw_below(d, 1, w + 2 * left - part.w + 1) - left -
	    u->padding[1];
	image_crop(s->room, &s->im, &part, (uint8_t)u->fill);
}

static enum rk_err
random_resized_crop(struct on_way *s, const struct draws *d, int i)
{
	const int *size = s->p->list.v[i].u.random_resized_crop.size;
	const struct image_part part = draw_crop(d, &s->p->areas[i], s->im.h,
	    s->im.w);

	image_crop(s->room, &s->im, &part, 0);
	return resize_to(s, NULL, size[0], size[1]);
}

static void
jitter(struct on_way *s, const struct draws *d,
    const struct spec_transform_color_jitter *u)
{
	const double by[4] = { u->brightness, u->contrast, u->saturation,
		u->hue };
	int order[4] = { 0, 1, 2, 3 };

	for (int i = 3; i > 0; i--) {
		const int64_t k = draw_below(d, (uint64_t)(7 - i), i + 1);
		const int was = order[i];
		order[i] = order[k];
		order[k] = was;
	}
	for (int i = 0; i < 4; i++) {
		const int what = order[i];
		const float f = (float)(what == 3 ?
		    draw_between(d, 3, -by[3], by[3]) :
		    draw_between(d, (uint64_t)what, fmax(0, 1 - by[what]),
		    1 + by[what]));
		if (by[what] == 0)
			continue;
		if (what == 0)
			image_brightness(s->room, &s->im, f);
		else if (what == 1)
			image_contrast(s->room, &s->im, f);
		else if (what == 2)
			image_saturation(s->room, &s->im, f);
		else
			image_hue(s->room, &s->im, f);
	}
}

static enum rk_err
pixels(struct on_way *s, int i)
{
	const union spec_transform_fields *u = &s->p->list.v[i].u;
	const struct draws d = draws_of(s->k, i);
	int64_t to[2];

	switch (s->p->list.v[i].type) {
	case SPEC_T_resize:
		resized(&u->resize, s->im.h, s->im.w, to);
		return resize_to(s, NULL, to[0], to[1]);
	case SPEC_T_center_crop:
		center_crop(s, u->center_crop.size);
		break;
	case SPEC_T_random_crop:
		random_crop(s, &d, &u->random_crop);
		break;
	case SPEC_T_random_resized_crop:
		return random_resized_crop(s, &d, i);
	case SPEC_T_hflip:
		if (draw_unit(&d, 0) < u->hflip.p)
			image_orient(s->room, &s->im, 2);
		break;
	case SPEC_T_vflip:
		if (draw_unit(&d, 0) < u->vflip.p)
			image_orient(s->room, &s->im, 4);
		break;
	case SPEC_T_rotate:
		image_rotate(s->room, &s->im, draw_between(&d, 0,
		    -u->rotate.degrees, u->rotate.degrees),
		    u->rotate.interpolation == 1, (uint8_t)u->rotate.fill);
		break;
	case SPEC_T_color_jitter:
		jitter(s, &d, &u->color_jitter);
		break;
	case SPEC_T_normalize:
	case SPEC_T_random_erasing:
	case SPEC_T_mixup:
	case SPEC_T_cutmix:
	case SPEC_T_random_mask:
	case SPEC_T_COUNT:
		break;
	}
	return RK_OK;
}

/* --- numbers -------------------------------------------------------------- */

static void
erase(const struct on_way *s, int i, float *x)
{
	const struct spec_transform_random_erasing *u =
	    &s->p->list.v[i].u.random_erasing;
	const int64_t h = s->p->d[1], w = s->p->d[2];
	const struct draws d = draws_of(s->k, i);
	struct image_part at;
	uint64_t k = 64;

	if (!(draw_unit(&d, 0) < u->p) ||
	    !draw_erased(&d, &s->p->areas[i], h, w, &at))
		return;
	for (int64_t c = 0; c < s->p->d[0]; c++)
		for (int64_t y = at.y; y < at.y + at.h; y++)
			for (int64_t j = at.x; j < at.x + at.w; j++)
				x[(c * h + y) * w + j] = !u->noise ?
				    (float)u->value : rk_draw_normal(d.seed,
				    d.epoch, d.transform, d.first + k++);
}

static enum rk_err
go_through(struct on_way *s, int from, const struct transform_norm *norm,
    float *x)
{
	const struct transform_plan *p = s->p;
	enum rk_err rc = RK_OK;

	for (int i = from; rc == RK_OK && i < p->list.n; i++)
		rc = pixels(s, i);
	if (rc != RK_OK)
		return rc;
	must(s->im.channels == p->d[0] && s->im.h == p->d[1] &&
	    s->im.w == p->d[2]);
	image_floats(&s->im, norm->scale, norm->shift, norm->n, x);
	for (int i = 0; i < p->list.n; i++)
		if (p->list.v[i].type == SPEC_T_random_erasing)
			erase(s, i, x);
	return RK_OK;
}

/* --- files ---------------------------------------------------------------- */

/* The part that is wanted first and what is made of it; false: all is decoded
 * and stays as it is.  *through: the transform that is next. */
static bool
first_wants(const struct on_way *s, const struct image_info *info,
    struct image_part *part, int64_t to[2], int *through)
{
	const struct spec_transform *t = &s->p->list.v[0];
	const struct draws d = draws_of(s->k, 0);

	*part = (struct image_part){ .w = info->w, .h = info->h };
	*through = 0;
	if (s->p->from[0] > 0) {
		memcpy(to, s->p->from, sizeof(s->p->from));
		return true;
	}
	*through = 1;
	if (s->p->list.n > 0 && t->type == SPEC_T_random_resized_crop) {
		*part = draw_crop(&d, &s->p->areas[0], info->h, info->w);
		to[0] = t->u.random_resized_crop.size[0];
		to[1] = t->u.random_resized_crop.size[1];
		return true;
	}
	if (s->p->list.n > 0 && t->type == SPEC_T_resize) {
		resized(&t->u.resize, info->h, info->w, to);
		return true;
	}
	*through = 0;
	return false;
}

enum rk_err
transform_file(const struct transform_plan *p, struct transform_room *r,
    const struct transform_key *k, const uint8_t *bytes, size_t n,
    const char *what, const struct transform_norm *norm, float *x,
    struct rk_why *why)
{
	struct on_way s = { .p = p, .k = k, .room = r->room, .what = what,
		.why = why };
	struct image_info info;
	struct image_part part;
	struct image_box box;
	int64_t to[2];
	int through;

	must_be(p, PLAN_TAG);
	enum rk_err rc = image_look(r->room, bytes, n, what, NULL, &info, why);
	if (rc != RK_OK)
		return rc;
	const bool first = first_wants(&s, &info, &part, to, &through);
	rc = image_decode_part(r->room, bytes, n, what, NULL, (int)p->d[0],
	    &part, first ? image_shrink_for(part.w, part.h, to[1], to[0]) : 1,
	    &s.im, &box, why);
	if (rc == RK_OK && first)
		rc = resize_to(&s, &box, to[0], to[1]);
	return rc != RK_OK ? rc : go_through(&s, through, norm, x);
}

enum rk_err
transform_planes(const struct transform_plan *p, struct transform_room *r,
    const struct transform_key *k, const uint8_t *planes, int64_t h,
    int64_t w, const char *what, const struct transform_norm *norm, float *x,
    struct rk_why *why)
{
	struct on_way s = { .p = p, .k = k, .room = r->room, .what = what,
		.why = why };

	must_be(p, PLAN_TAG);
	image_of_planes(r->room, planes, w, h, (int)p->d[0], &s.im);
	return go_through(&s, 0, norm, x);
}
