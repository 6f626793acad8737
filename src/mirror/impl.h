/* mirror from inside. */
#ifndef MIRROR_IMPL_H
#define MIRROR_IMPL_H

#include "rekindle/mirror.h"

#endif
