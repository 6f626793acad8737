/* The element types of Paddle: numpy's letters for them, and their numbers in
 * framework.proto (VarType.Type). */
#include "paddle.h"

static const struct paddle_type {
	enum dtype dtype;
	uint64_t number;
	const char *code;
} types[] = {
	{ DT_BOOL, 0, "b1" }, { DT_I16, 1, "i2" }, { DT_I32, 2, "i4" },
	{ DT_I64, 3, "i8" }, { DT_F16, 4, "f2" }, { DT_F32, 5, "f4" },
	{ DT_F64, 6, "f8" }, { DT_U8, 20, "u1" }, { DT_I8, 21, "i1" },
	{ DT_BF16, 22, "u2" }, { DT_C64, 23, "c8" },
	{ DT_C128, 24, "c16" },
};

static const struct {
	uint64_t number;
	const char *word;
} others[] = {
	{ 19, "SIZE_T" }, { 29, "PSTRING" },
	{ 32, "FP8_E4M3FN" }, { 33, "FP8_E5M2" },
};

const char *
paddle_numpy_code(enum dtype t)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(types); i++)
		if (types[i].dtype == t)
			return types[i].code;
	return NULL;
}

bool
paddle_type_numbered(uint64_t number, enum dtype *out)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(types); i++) {
		if (types[i].number != number)
			continue;
		*out = types[i].dtype;
		return true;
	}
	return false;
}

const char *
paddle_other_type(uint64_t number)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(others); i++)
		if (others[i].number == number)
			return others[i].word;
	return NULL;
}
