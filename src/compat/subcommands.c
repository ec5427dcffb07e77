// SPDX-License-Identifier: MIT
/* How the program calls itself: by the wrapper, `wg dynamic' is what people type. */

#include "subcommands.h"

const char *PROG_NAME = "wg";
