/* http from inside. */
#ifndef HTTP_IMPL_H
#define HTTP_IMPL_H

#include "rekindle/http.h"

#endif
