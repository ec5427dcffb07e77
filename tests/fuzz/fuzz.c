// SPDX-License-Identifier: MIT
/* See fuzz.h. The functions of log.h are here as well, in place of the product's. */

#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "log.h"

uint8_t input_byte(struct input *input)
{
	uint8_t byte = 0;

	input_bytes(input, &byte, 1);
	return byte;
}

void input_bytes(struct input *input, void *to, size_t len)
{
	size_t have = len < input->len ? len : input->len;

	memset(to, 0, len);
	if (have)
		memcpy(to, input->data, have);
	input->data += have;
	input->len -= have;
}

char *pieces_next(struct pieces *pieces, size_t most, size_t *len)
{
	size_t wanted = pieces->len;
	char *piece;

	if (pieces->seed == 1) {
		wanted = 1;
	} else if (pieces->seed) {
		pieces->seed = pieces->seed * 1103515245 + 12345;
		wanted = 1 + (pieces->seed >> 16) % 48;
		pieces->seed += pieces->seed < 2 ? 2 : 0;
	}
	*len = wanted < pieces->len ? wanted : pieces->len;
	*len = *len < most ? *len : most;
	piece = malloc(*len);
	must(piece || !*len);
	if (*len)
		memcpy(piece, pieces->data, *len);
	pieces->data += *len;
	pieces->len -= *len;
	return piece;
}

int memory_file(const void *bytes, size_t len)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	must(fd >= 0);
	must(pwrite(fd, bytes, len, 0) == (ssize_t)len);
	return fd;
}

char *text_copy(const void *bytes, size_t len)
{
	char *text = malloc(len + 1);

	must(text);
	if (len)
		memcpy(text, bytes, len);
	text[len] = '\0';
	return text;
}

bool is_printable(const char *text, size_t len)
{
	for (size_t i = 0; i < len; ++i) {
		if ((text[i] < ' ' || text[i] > '~') && text[i] != '\n' && text[i] != '\t')
			return false;
	}
	return true;
}

/* --- log.h --- */

void log_open(const char *interface)
{
	(void)interface;
}

void log_background(void)
{
}

void log_limit(unsigned int burst, unsigned int rate)
{
	(void)burst;
	(void)rate;
}

static void check_line(const char *format, va_list args)
{
	char line[1024];

	vsnprintf(line, sizeof(line), format, args);
	must(is_printable(line, strlen(line)) && !strchr(line, '\n'));
}

void log_line(int priority, const char *format, ...)
{
	va_list args;

	(void)priority;
	va_start(args, format);
	check_line(format, args);
	va_end(args);
}

void log_text(int priority, const char *text, size_t len)
{
	(void)priority;
	must(is_printable(text, len) && !memchr(text, '\n', len));
}

void log_hold(bool hold)
{
	(void)hold;
}

bool log_full(void)
{
	return false;
}

int log_failure(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	check_line(format, args);
	va_end(args);
	return 1;
}
