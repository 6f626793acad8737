/* transform_plan - what a plan is to the files that go by it. */
#ifndef DATA_TRANSFORM_PLAN_H
#define DATA_TRANSFORM_PLAN_H

#include "transform_draw.h"

struct transform_plan {
	unsigned tag;
	struct spec_transforms list;
	int64_t from[2];                /* height, width before it; 0, 0 */
	int64_t d[3];                   /* channels, height, width behind it */
	struct areas areas[SPEC_MAX_TRANSFORMS];
};

#endif
