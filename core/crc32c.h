/* CRC32C (Castagnoli, reflected polynomial 0x82f63b78; RFC 3720 appendix B.4 has examples). Base
 * layer. */
#ifndef POSTERN_CRC32C_H
#define POSTERN_CRC32C_H

#include "slice.h"

/* The CRC of what crc stands for, followed by bytes. Begin with 0. */
uint32_t crc32c_add(uint32_t crc, struct slice bytes);

#endif
