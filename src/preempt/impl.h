/* preempt from inside. */
#ifndef PREEMPT_IMPL_H
#define PREEMPT_IMPL_H

#include "rekindle/preempt.h"

#endif
