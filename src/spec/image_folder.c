/* The source image_folder, and what is said of reading data ahead:
 * data.threads, data.broken. */
#include <stdlib.h>

#include "read.h"

#define MAX_SIDE 16384                  /* pixels, of what the network sees */

const char *const spec_broken_words[] = { "fail", "skip", NULL };

void
sp_read_image_folder(struct spec_source *s, struct rkj_obj *o)
{
	int64_t channels = 3;

	sp_read_path(o, "path", &s->path, RKJ_REQUIRED);
	sp_read_path(o, "list", &s->list, RKJ_OPTIONAL);
	sp_pair(o, "size", s->image_size, 1, MAX_SIDE, RKJ_OPTIONAL);
	if (rkj_int(o, "channels", &channels, 1, 3, RKJ_OPTIONAL) &&
	    channels == 2)
		rkj_fault(o, "channels", "is 2, want 1 (grey) or 3 (red, green, "
		    "blue)");
	s->channels = (int)channels;
}

void
sp_put_image_folder(json_t *o, const struct spec_source *s)
{
	sp_put(o, "path", json_string(s->path));
	if (s->list != NULL)
		sp_put(o, "list", json_string(s->list));
	if (s->image_size[0] > 0)
		sp_put(o, "size", json_pack("[i, i]", s->image_size[0],
		    s->image_size[1]));
	sp_put(o, "channels", json_integer(s->channels));
}

/* Validation is put to the same network: what it does not say is train's. */
void
sp_image_folder_as(struct spec_source *valid, const struct spec_source *train,
    const json_t *said)
{
	if (valid->type != SPEC_IMAGE_FOLDER || train->type != valid->type)
		return;
	if (json_object_get(said, "size") == NULL) {
		valid->image_size[0] = train->image_size[0];
		valid->image_size[1] = train->image_size[1];
	}
	if (json_object_get(said, "channels") == NULL)
		valid->channels = train->channels;
}

void
sp_read_loading(struct spec_data *d, struct rkj_obj *o)
{
	int broken = SPEC_BROKEN_FAIL;

	rkj_int(o, "threads", &d->threads, 1, SPEC_MAX_LOADERS, RKJ_OPTIONAL);
	rkj_enum(o, "broken", &broken, spec_broken_words, RKJ_OPTIONAL);
	d->broken = (enum spec_broken)broken;
}

/* Both change no number that is learned from samples that are whole. */
void
sp_put_loading(json_t *o, const struct spec_data *d)
{
	if (d->threads > 0)
		sp_put(o, "threads", json_integer(d->threads));
	if (d->broken != SPEC_BROKEN_FAIL)
		sp_put(o, "broken", json_string(spec_broken_words[d->broken]));
}

void
sp_drop_loading(json_t *data)
{
	json_object_del(data, "threads");
	json_object_del(data, "broken");
}
