// The three looks that the health tests take at each byte, as wide as the machine allows.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qkme {

/// Which instructions; all give the same answers.
enum class ScanImpl { kPortable, kAvx2, kAvx512 };
inline constexpr int kScanImpls = 3;

bool ScanSupported(ScanImpl impl);
ScanImpl ScanBest();

/// First i with p[i] == p[i + 1] == p[i + 2] and i + 2 < length, or `length`.
size_t FirstTriple(const uint8_t* p, size_t length, ScanImpl impl = ScanBest());

/// How many of the bytes are `value`.
uint32_t CountEqual(const uint8_t* p, size_t length, uint8_t value, ScanImpl impl = ScanBest());

/// Of `words` words of 64 bits, from `p` on: `ones` keeps the bits that were 1 in all of them and before, `zeros` those that were 0.
void KeepStuck(const uint8_t* p, size_t words, uint64_t* ones, uint64_t* zeros, ScanImpl impl = ScanBest());

}  // namespace qkme
