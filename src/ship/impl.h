/* ship from inside. */
#ifndef SHIP_IMPL_H
#define SHIP_IMPL_H

#include "rekindle/ship.h"

#endif
