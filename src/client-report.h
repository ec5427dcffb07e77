/* SPDX-License-Identifier: MIT */
/* Lines for people about what the client's engine reports, with the remedy where there is one. */

#ifndef CLIENT_REPORT_H
#define CLIENT_REPORT_H

#include "client-check.h"
#include "client.h"

/*
 * Logs the change: lease is what is held now, before what was. Failures are logged by their kind;
 * numbers beyond their enum say nothing.
 */
void client_report(const struct client_change *change, const struct client_setup *setup,
		   const struct lifecycle_lease *lease, const struct lifecycle_lease *before);

/* Logs that nothing has been leased in the time that somebody waited for; failure: the last. */
void client_report_waited(const struct failure *failure, const struct client_setup *setup);

#endif
