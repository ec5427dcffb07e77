/* SPDX-License-Identifier: MIT */
/* Lines for people from what the server's engine reports, which is checked before it is used. */

#ifndef REPORT_H
#define REPORT_H

#include <stdbool.h>

#include "server.h"

/*
 * Writes a line for each item. Returns false if one of them says that the engine can't serve, which
 * one that serves already can't say.
 */
bool report(const struct server_log *log, const char *interface, bool serving);

#endif
