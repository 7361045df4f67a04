// One-time pads: bytes are xored where they lie, as wide as the processor can.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qkme {

/// Ways to do it; all give the same bytes.
enum class XorImpl : int { kPortable = 0, kAvx2 = 1, kAvx512 = 2 };
inline constexpr int kXorImpls = 3;

bool XorSupported(XorImpl impl);
/// The widest one that is supported; found once.
XorImpl XorBest();

/// into ^= pad. The stretches do not overlap.
void XorPad(uint8_t* into, const uint8_t* pad, size_t length, XorImpl impl = XorBest());
/// into ^= removed ^ added, in one step: no byte of `into` is ever stored with one of the two only. The stretches do not overlap.
void XorPads(uint8_t* into, const uint8_t* removed, const uint8_t* added, size_t length, XorImpl impl = XorBest());

}  // namespace qkme
