/* module: models */
/* Records of versions that were edited by hand: lineage, comparison and card
 * are made of whatever JSON there is; what others wrote begins no line of the
 * card but of a quotation. */
#include <string.h>

#include "rekindle/models_views.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static enum models_now
now(void *ctx, const char *model, int64_t version)
{
	(void)ctx;
	return (enum models_now)((strlen(model) + (uint64_t)version) % 3);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	json_t *v = NULL;

	if (rkj_parse_json((const char *)p, n, &v, NULL) != RK_OK)
		return 0;
	json_t *other = json_object_get(v, "other");
	json_t *l = models_lineage(v, now, NULL);
	json_t *c = models_compare(v, other != NULL ? other : v, v, other);
	char *card = models_card(v, l, other), *text = rkj_text(c);
	/* All that is no line end is printable UTF-8. */
	must(rk_utf8_good(card, strlen(card)) == strlen(card));
	for (const char *s = card; *s != '\0'; s++)
		must((unsigned char)*s >= 32 || *s == '\n');
	free(text);
	free(card);
	json_decref(c);
	json_decref(l);
	json_decref(v);
	return 0;
}
