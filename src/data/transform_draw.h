/*
 * transform_draw - draws of transforms, and what is drawn by them: parts of
 * pictures, and the share of a mixture.  transform.h says which draw is which.
 */
#ifndef DATA_TRANSFORM_DRAW_H
#define DATA_TRANSFORM_DRAW_H

#include "transform.h"

/* The draws of one transform for one sample. */
struct draws {
	uint64_t seed;
	uint32_t epoch, transform;
	uint64_t first;
};
struct draws draws_of(const struct transform_key *k, int transform);
struct draws draws_of_batch(const struct transform_key *k, int transform);

double draw_unit(const struct draws *d, uint64_t k);            /* [0, 1) */
double draw_between(const struct draws *d, uint64_t k, double a, double b);
int64_t draw_below(const struct draws *d, uint64_t k, int64_t n);

/* Parts of a random area and aspect, and the logarithms of the aspects'
 * ends. */
struct areas {
	double scale[2], ratio[2], log_ratio[2];
};
struct areas areas_of(const double scale[2], const double ratio[2]);
/* Of torchvision's RandomResizedCrop; there is always one. */
struct image_part draw_crop(const struct draws *d, const struct areas *a,
    int64_t h, int64_t w);
/* Of its RandomErasing, draws from k = 1 on; false: ten tries did not fit. */
bool draw_erased(const struct draws *d, const struct areas *a, int64_t h,
    int64_t w, struct image_part *out);

/* One of Beta(alpha, alpha), alpha above 0 and at most 1; draws from k on. */
double draw_beta(const struct draws *d, uint64_t k, double alpha);

#endif
