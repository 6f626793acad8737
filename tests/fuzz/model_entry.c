/* module: models */
/* An entry of a model's log, as a bucket has it: whoever may write there may
 * have written it.  What is taken names nothing outside its version's folder. */
#include <stdlib.h>
#include <string.h>

#include "../../src/models/impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
check_files(const struct entry *e)
{
	const json_t *files = json_object_get(e->record, "files");

	must(json_array_size(files) > 0);
	for (size_t i = 0; i < json_array_size(files); i++) {
		const char *name = json_string_value(json_object_get(
		    json_array_get(files, i), "name"));
		must(name != NULL && name[0] != '.' && name[0] != '\0');
		must(strpbrk(name, "/\\") == NULL);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct rk_why why = { 0 };
	struct entry e, again;

	if (entry_parse(&e, (const char *)p, n, "tiles", 1, &why) != RK_OK) {
		must(why.n > 0 && e.tree == NULL);
		rk_why_fini(&why);
		return 0;
	}
	must(e.seq == 1 && models_word(e.id));
	must(e.event == E_ALIAS ? e.how != HOW_REMOVED || e.version == 0 :
	    e.version >= 1);
	must(e.event != E_ALIAS || models_alias_ok(e.alias, NULL) == RK_OK);
	if (e.event == E_VERSION) {
		must(models_word(e.folder));
		must(e.job == NULL || rk_id_ok(e.job));
		check_files(&e);
	}
	char *text = rkj_text(e.tree);
	must(entry_parse(&again, text, strlen(text), "tiles", 1, &why) ==
	    RK_OK);
	must(again.version == e.version && again.event == e.event);
	free(text);
	entry_fini(&again);
	entry_fini(&e);
	return 0;
}
