/* The two names that Paddle has for a recurrent layer's tensors: see
 * warm_export.h. */
#include <stdlib.h>
#include <string.h>

#include "rekindle/warm_export.h"

#define REVERSE "_reverse"

/* "weight_ih_l" and the like, without what follows; NULL: it is none. */
static const char *
stem_of(const char *last)
{
	static const char *const stems[] = { "weight_ih_l", "weight_hh_l",
		"bias_ih_l", "bias_hh_l" };

	for (size_t k = 0; k < RK_ARRAY_LEN(stems); k++)
		if (strncmp(last, stems[k], strlen(stems[k])) == 0)
			return stems[k];
	return NULL;
}

char *
warm_recurrent_twin(const char *name, bool both)
{
	const char *dot = strrchr(name, '.');
	const char *last = dot != NULL ? dot + 1 : name;
	const char *stem = stem_of(last);
	const char *layer = stem != NULL ? last + strlen(stem) : "";
	const size_t digits = strspn(layer, "0123456789");
	const bool back = strcmp(layer + digits, REVERSE) == 0;

	if (digits == 0 || digits > 4 || (layer[digits] != '\0' && !back))
		return NULL;
	return xasprintf("%.*s%.*s.cell%s.%.*s", (int)(last - name), name,
	    (int)digits, layer, back ? "_bw" : both ? "_fw" : "",
	    (int)strlen(stem) - 2, stem);
}
