/*
 * transform - data.transforms, applied to samples, to batches and to tokens.
 *
 * A plan is a list of a job, made once and then only read, by any number of
 * threads; a room is what one thread keeps.  What comes out is a pure function
 * of the plan, the sample and the key: no thread and no order changes a bit.
 *
 * Draws.  Number k of transform number t (its place in the list, from 0) of a
 * sample is
 *
 *	rk_draw_u32(seed ^ TRANSFORM_SALT, epoch, t, sample * 2^24 + k)
 *
 * and of a batch the same with the place of its first sample in the epoch
 * and 2^62 more.  u is that / 2^32, in [0, 1); one of n is floor(u n).
 *
 *	random_crop   k = 0: rows above (one of those that there can be); 1:
 *	              columns on the left
 *	random_resized_crop  try i = 0 to 9: 4i the area, 4i + 1 the aspect, 4i
 *	              + 2 and 3 the rows above and the columns on the left
 *	hflip, vflip  0: done if u < p
 *	rotate        0: the angle
 *	color_jitter  0 to 3: brightness, contrast, saturation, hue; 4 to 6:
 *	              their order (i = 3, 2, 1 changes places with one of 0 to
 *	              i)
 *	random_erasing  0: done if u < p; then try i = 0 to 9: 4i + 1 the area,
 *	              4i + 2 the aspect, 4i + 3 and 4 the place; noise: the
 *	              normals from 64 on, in the order of the numbers erased
 *	random_mask   k: token k is masked if u < p
 *	mixup, cutmix  0: done if u < p; 1: which, where a list has both (drawn
 *	              at the first of them); 2 and 3: the place; 4 on: l, two
 *	              for each try of Johnk's method where alpha is not 1
 *
 * Files are decoded as far as the first transform needs them: of a crop that
 * comes first that part alone, and what is to become much smaller (resize,
 * random_resized_crop) at a half, a quarter or an eighth, where at least twice
 * the pixels that are wanted are left in each direction (image_shrink_for) and
 * then resized by the box of the part in them: a rule of sizes alone, which
 * makes a photograph of 12 megapixels cheap and changes no picture that is less
 * than four times as large as wanted.
 */
#ifndef DATA_TRANSFORM_H
#define DATA_TRANSFORM_H

#include "rekindle/data.h"
#include "rekindle/image.h"

struct held;

#define TRANSFORM_SALT 0x7472616e73666f72u      /* "transfor" */

struct transform_plan;
struct transform_room;

/* Of which sample, and when. */
struct transform_key {
	uint64_t seed;
	int64_t epoch, sample;          /* sample: below 2^38 */
};

/* How pixels become numbers: x * scale + shift, of channel c or, where n is 1,
 * of all. */
struct transform_norm {
	const float *scale, *shift;
	int64_t n;
};

/*
 * A plan for pictures of d = {channels, height, width}; channels 1 or 3, height
 * and width 0 where each picture has its own; else files are resized to these
 * before anything else.  The list is copied.  path names it
 * ("data.transforms.train").  RK_EINVAL: it does not fit, or the pictures still
 * have a size each behind it.
 */
enum rk_err transform_plan_new(struct transform_plan **pp,
    const struct spec_transforms *list, const char *path,
    const int64_t d[3], struct rk_why *why) RK_MUSTCHECK;
void transform_plan_free(struct transform_plan *p);     /* NULL is fine */
/* Those of data.transforms.train and .validation, for pictures that begin
 * alike; they must make one size.  After an error there are none. */
enum rk_err transform_plans(const struct spec_data *s, const int64_t d[3],
    struct transform_plan *plans[2], struct rk_why *why) RK_MUSTCHECK;
/* Does a list make one size of pictures that have a size each? */
bool transform_makes_size(const struct spec_transforms *list);
/* Is a file resized by what comes first, and so decoded smaller where it is
 * large? */
bool transform_shrinks(const struct spec_transforms *list);
/* {channels, height, width} of what comes out. */
void transform_shape(const struct transform_plan *p, int64_t d[3]);
/* Remarks on crops of either list that take more than there is. */
void transform_remarks(struct transform_plan *const plans[2], struct held *h);
/* Has it mixup or cutmix? */
bool transform_mixes(const struct transform_plan *p);

struct transform_room *transform_room_new(void);
void transform_room_free(struct transform_room *r);     /* NULL is fine */

/*
 * One sample: the bytes of a JPEG or a PNG, or planes of bytes in memory,
 * [channels] [h][w], to numbers x[c][h][w].  RK_EINVAL: it is broken, or
 * becomes too large on its way; why has one sentence that begins with `what`.
 */
enum rk_err transform_file(const struct transform_plan *p,
    struct transform_room *r, const struct transform_key *k,
    const uint8_t *bytes, size_t n, const char *what,
    const struct transform_norm *norm, float *x, struct rk_why *why)
    RK_MUSTCHECK;
enum rk_err transform_planes(const struct transform_plan *p,
    struct transform_room *r, const struct transform_key *k,
    const uint8_t *planes, int64_t h, int64_t w, const char *what,
    const struct transform_norm *norm, float *x, struct rk_why *why)
    RK_MUSTCHECK;

/* What mixup and cutmix do with a batch: data.h.  k->sample is the place of its
 * first sample in the epoch. */
void transform_mixture(const struct transform_plan *p,
    const struct transform_key *k, struct data_mixture *out);

/* n tokens in place.  mask: what a masked one becomes, unless the job says it;
 * those that are among kept[0..nkept-1] stay. */
struct transform_tokens {
	int32_t mask;
	const int32_t *kept;
	int nkept;
};
void transform_mask(const struct spec_transforms *list,
    const struct transform_key *k, const struct transform_tokens *s,
    int32_t *ids, int64_t n);

/* e^x and log x (x > 0) of numbers, the same on every machine: those of a C
 * library may differ in the last bit between CPUs. */
double transform_exp(double x);
double transform_log(double x);

#endif
