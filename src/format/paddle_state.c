/*
 * The names of an optimiser's variables: python/paddle/optimizer/ of Paddle
 * names an accumulator unique_name.generate(parameter + "_" + accumulator),
 * which ends in a number of its own.
 */
#include <string.h>

#include "paddle.h"

/* Accumulators of Paddle's optimisers. */
static const char *const slots[] = {
	/* Adam, AdamW, Lamb, NAdam, RAdam, Adamax */
	"moment1", "moment2", "moment2_max", "beta1_pow_acc", "beta2_pow_acc",
	"momentum_decay_pow", "mu_product", "beta1_pow", "beta2_pow", "rho",
	"moment", "inf_norm",
	/* Momentum, LarsMomentum; RMSProp */
	"velocity", "momentum", "mean_square", "mean_grad",
	/* Adadelta; Rprop */
	"_avg_squared_grad", "_avg_squared_update", "avg_squared_grad",
	"avg_squared_update", "prevs", "learning_rates",
};

#define MASTER "_fp32_master_"

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The length without "_NUMBER" at the end; 0: there is none. */
static size_t
without_number(const char *s, size_t n)
{
	size_t k = n;

	while (k > 0 && is_digit(s[k - 1]))
		k--;
	return k > 1 && k < n && s[k - 1] == '_' ? k - 1 : 0;
}

/* The longest slot that n bytes end with, behind a "_". */
static const char *
slot_of(const char *s, size_t n, size_t *of)
{
	const char *best = NULL;
	size_t longest = 0;

	for (size_t i = 0; i < RK_ARRAY_LEN(slots); i++) {
		const size_t len = strlen(slots[i]);
		if (len <= longest || n < len + 2 || s[n - len - 1] != '_' ||
		    memcmp(s + n - len, slots[i], len) != 0)
			continue;
		best = slots[i];
		longest = len;
		*of = n - len - 1;
	}
	return best;
}

/* Where a parameter's own name ends: ".w_0" or ".b_12", the last there is. */
static size_t
parameter_end(const char *s, size_t n)
{
	for (size_t i = n; i-- > 3;) {
		if (s[i - 3] != '.' || (s[i - 2] != 'w' && s[i - 2] != 'b') ||
		    s[i - 1] != '_' || !is_digit(s[i]))
			continue;
		while (i < n && is_digit(s[i]))
			i++;
		return i == n || s[i] == '_' ? i : n;
	}
	return n;
}

bool
paddle_accumulator(const char *name, size_t *of, const char **slot)
{
	const size_t n = without_number(name, strlen(name));

	*slot = slot_of(name, n, of);
	if (*slot == NULL)
		return false;
	/* The variable of higher precision, where it is one's state. */
	const size_t k = without_number(name, *of);
	const size_t master = strlen(MASTER) - 1;
	if (k > master && memcmp(name + k - master, MASTER, master) == 0)
		*of = k - master;
	*of = parameter_end(name, *of);
	return *of > 0;
}
