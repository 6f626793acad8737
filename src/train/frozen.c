/* What goes into the shard of a checkpoint: see frozen.h. */
#include <string.h>

#include "frozen.h"

static bool
is_frozen(const struct optim *o, const struct nn_tensor *t)
{
	return t->is_buffer ? t->fixed : !optim_trains(o, t->offset);
}

bool *
frozen_choose(const struct nn *n, const struct optim *o)
{
	const size_t tensors = nn_ntensors(n);
	bool *frozen = xcalloc(tensors + 1, sizeof(*frozen));
	uint64_t bytes = 0;

	for (size_t i = 0; i < tensors; i++) {
		const struct nn_tensor *t = nn_tensor_at(n, i);
		frozen[i] = is_frozen(o, t);
		bytes += frozen[i] ? (uint64_t)t->count * sizeof(float) : 0;
	}
	if (bytes < CKPT_FROZEN_MIN)
		memset(frozen, 0, tensors * sizeof(*frozen));
	return frozen;
}
