/* Names of models and of aliases: those that a job may have, too. */
#include "rekindle/models.h"

enum rk_err
models_name_ok(const char *name, struct rk_why *why)
{
	return spec_model_name_ok(name, why);
}

enum rk_err
models_alias_ok(const char *alias, struct rk_why *why)
{
	return spec_model_alias_ok(alias, why);
}
