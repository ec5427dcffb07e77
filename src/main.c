// SPDX-License-Identifier: MIT
/* The stand-alone program: what the subcommand `dynamic' is in wireguard-tools' own tree. */

#include "subcommands.h"

int main(int argc, const char *argv[])
{
	return argc ? dynamic_main(argc, argv) : 1;
}
