// CRC32C (Castagnoli polynomial 0x1EDC6F41, reflected 0x82F63B78; RFC 3720 appendix B.4).
// Finds torn and rotten data; it is no defence against an attacker (that is the frame's MAC).
#pragma once

#include <cstddef>
#include <cstdint>

namespace qkme {

/// Continues a raw sum (begin with ~0u, end with ~). Uses the processor's instructions where there are some.
uint32_t Crc32cUpdate(uint32_t raw, const void* data, size_t length);
/// The same by tables; the fallback, and the oracle of the tests.
uint32_t Crc32cUpdatePortable(uint32_t raw, const void* data, size_t length);

inline uint32_t Crc32c(const void* data, size_t length) { return ~Crc32cUpdate(~0u, data, length); }

/// "vpclmulqdq", "sse4.2", "armv8" or "portable".
const char* Crc32cImplementation();

}  // namespace qkme
