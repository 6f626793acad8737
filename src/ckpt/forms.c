/* Files that a checkpoint can be written as: see ckpt.h. */
#include <string.h>

#include "impl.h"

const char *const ckpt_form_files[CKPT_FORMS + 1] = {
	"model.pdparams", "model.pdopt", "model.pt", "optimizer.pt",
	"model.safetensors", NULL
};

static const char *
behind_last(const char *s, char c)
{
	const char *at = strrchr(s, c);

	return at != NULL ? at + 1 : s;
}

enum ckpt_form
ckpt_form_of(const char *path)
{
	const char *name = behind_last(path, '/');
	int k;

	for (k = 0; k < CKPT_FORMS; k++)
		if (strcmp(ckpt_form_files[k], name) == 0)
			return (enum ckpt_form)k;
	if (strchr(name, '.') == NULL)
		return CKPT_FORMS;
	for (k = 0; k < CKPT_FORMS; k++)
		if (strcmp(behind_last(ckpt_form_files[k], '.'),
		    behind_last(name, '.')) == 0)
			break;
	return (enum ckpt_form)k;
}
