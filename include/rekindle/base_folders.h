/* base_folders - folders for what a person asked to have written. */
#ifndef REKINDLE_BASE_FOLDERS_H
#define REKINDLE_BASE_FOLDERS_H

#include "rekindle/base.h"

/* rk_mkdirs() that logs nothing: 0, or an errno and in *which (freed by the
 * caller) the folder that could not be made, which is path or one above it. */
int rk_make_folders(const char *path, unsigned mode, char **which)
    RK_MUSTCHECK;

#endif
