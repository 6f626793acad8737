/* The partial file of a download, and the note of its ranges beside it. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fetch.h"

#define PART_NOTE_MAX (1u << 20)

void
part_forget(struct fetch *f)
{
	rk_close(&f->fd);
	(void)unlinkat(f->h->part_fd, f->part, 0);
	(void)unlinkat(f->h->part_fd, f->note, 0);
	free(f->have);
	f->have = NULL;
	f->nhave = 0;
	free(f->etag);
	f->etag = NULL;
}

void
part_note(struct fetch *f)
{
	json_t *ranges = json_array(), *o;

	for (size_t i = 0; i < f->nhave; i++)
		json_array_append_new(ranges, json_pack("[I,I]",
		    (json_int_t)f->have[i].at, (json_int_t)f->have[i].n));
	o = json_pack("{s:s, s:s, s:I, s:o}", "uri", f->bare, "etag",
	    f->etag != NULL ? f->etag : "", "size", (json_int_t)f->size,
	    "have", ranges);
	must(o != NULL);
	char *text = rkj_text(o);
	(void)!rk_replace_file(f->h->part_fd, f->note, text, strlen(text));
	free(text);
	json_decref(o);
}

static int
by_at(const void *a, const void *b)
{
	uint64_t x = ((const struct remote_range *)a)->at;
	uint64_t y = ((const struct remote_range *)b)->at;

	return (x > y) - (x < y);
}

void
part_add(struct fetch *f, uint64_t at, uint64_t n)
{
	size_t k = 0;

	f->have = xrealloc(f->have, (f->nhave + 1) * sizeof(*f->have));
	f->have[f->nhave++] = (struct remote_range){ at, n };
	qsort(f->have, f->nhave, sizeof(*f->have), by_at);
	for (size_t i = 1; i < f->nhave; i++) {
		struct remote_range *last = &f->have[k];
		if (f->have[i].at <= last->at + last->n)
			last->n = RK_MAX(last->n, f->have[i].at +
			    f->have[i].n - last->at);
		else
			f->have[++k] = f->have[i];
	}
	f->nhave = k + 1;
}

/* What an earlier download, of a daemon before us even, has done. */
void
part_read(struct fetch *f)
{
	char *text = NULL;
	size_t len = 0, i;
	json_t *o = NULL, *v;

	if (rk_read_file(f->h->part_fd, f->note, PART_NOTE_MAX, &text, &len) !=
	    RK_OK || rkj_parse_json(text, len, &o, NULL) != RK_OK) {
		free(text);
		return;
	}
	const char *uri = json_string_value(json_object_get(o, "uri"));
	const char *etag = json_string_value(json_object_get(o, "etag"));
	if (uri != NULL && etag != NULL && etag[0] != '\0' &&
	    strcmp(uri, f->bare) == 0) {
		free(f->etag);
		f->etag = xstrdup(etag);
		json_array_foreach(json_object_get(o, "have"), i, v) {
			int64_t at = json_integer_value(json_array_get(v, 0));
			int64_t n = json_integer_value(json_array_get(v, 1));
			if (at >= 0 && n > 0 && at <= INT64_MAX - n)
				part_add(f, (uint64_t)at, (uint64_t)n);
		}
	}
	json_decref(o);
	free(text);
}

uint64_t
part_bytes(const struct fetch *f)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < f->nhave; i++)
		sum += f->have[i].n;
	return sum;
}
