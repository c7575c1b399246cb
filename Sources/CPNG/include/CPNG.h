/// PNG files in memory by libpng, whose long jumps stay inside this library.
#ifndef CPNG_H
#define CPNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CPNG_MESSAGE = 128 };

/// Width and height that the file says it has; false when it does not begin as a PNG file does.
bool cpng_size(const uint8_t *data, size_t count, uint32_t *width, uint32_t *height);

/// Decodes a file into 8-bit red, green and blue, row by row: palettes, gray and few bits are widened, 16 bits rounded
/// to 8, transparency dropped. `pixels` has room for width * height * 3 bytes, with the numbers of cpng_size. False
/// with a message of what is wrong, cut to CPNG_MESSAGE bytes with the zero at its end.
bool cpng_read(const uint8_t *data, size_t count, uint32_t width, uint32_t height, uint8_t *pixels, char *message);

/// Gets bytes of a file in order; false stops.
typedef bool (*cpng_sink)(void *context, const uint8_t *bytes, size_t count);

/// Encodes 8-bit red, green and blue. False when the sink stopped, or with a message.
bool cpng_write(const uint8_t *pixels, uint32_t width, uint32_t height, cpng_sink sink, void *context, char *message);

/// The version of libpng.
const char *cpng_version(void);

#endif
