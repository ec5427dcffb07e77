/* SPDX-License-Identifier: MIT */
/*
 * Make-believe programs in the working directory, and what is written there, for tests of what
 * runs programs.
 */

#ifndef FAKE_PROGRAM_H
#define FAKE_PROGRAM_H

#include <limits.h>

/*
 * Makes an executable file of this name and text, in place of one that is there, and gives its
 * whole path. Fails the test if it can't, as all of these.
 */
void fake_program(char path[static PATH_MAX], const char *name, const char *text);

/* Likewise a script for sh that runs where it is, wherever it is started. */
void fake_script(const char *name, const char *text);

/* The text of a file, "" if there is none, in room that the next call overwrites. */
const char *content(const char *path);

/*
 * From the one to the other, standard error goes to a new file `log'. What is logged there has
 * the name that log_open() was given last.
 */
void log_catch(void);
void log_restore(void);

#endif
