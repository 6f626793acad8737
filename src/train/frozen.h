/*
 * frozen - what goes into the shard of a checkpoint (ckpt.h, "Shards").
 */
#ifndef TRAIN_FROZEN_H
#define TRAIN_FROZEN_H

#include "rekindle/ckpt.h"
#include "rekindle/nn.h"
#include "rekindle/optim.h"

/* By tensor of the network: nothing changes it while spans and batch norms are
 * as they are now.  None, where it is not worth a shard.  The caller frees. */
bool *frozen_choose(const struct nn *n, const struct optim *o);

#endif
