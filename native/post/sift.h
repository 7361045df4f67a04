// Sifting in planes: a party's records of n detections are packed bits, one plane each for bit, basis and intensity,
// least significant first. Selecting and counting then goes 64 detections at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace qkme::post {

/// Bytes of `bits` packed bits.
constexpr size_t PackedBytes(size_t bits) { return (bits + 7) / 8; }

/// Bit `shift` (0 to 7) of each record, packed; unused bits 0. `out` has PackedBytes(records.size()) bytes.
void TakePlane(std::span<const uint8_t> records, unsigned shift, std::span<uint8_t> out);

/// Appends the bits of `plane` where `mask` is 1 to `out`, from its bit `at` on; `out` is 0 there. `count` bits are
/// looked at. Returns how many were appended; `out` must hold them all.
size_t SelectBits(std::span<const uint8_t> plane, std::span<const uint8_t> mask, size_t count, std::span<uint8_t> out, size_t at);

/// Number of 1s in a AND b, of `count` bits.
size_t CountBoth(std::span<const uint8_t> a, std::span<const uint8_t> b, size_t count);

/// What becomes of two planes, bit by bit. The order is that of PLANE_RULES in src/post/native.ts.
enum class PlaneRule : unsigned { kAnd, kAndNot, kXor, kSame };
inline constexpr unsigned kPlaneRules = 4;

/// A plane of `count` bits made from two; bits behind the last become 0.
void Combine(PlaneRule rule, std::span<const uint8_t> a, std::span<const uint8_t> b, size_t count, std::span<uint8_t> out);

/// Whether planes are taken, selected and counted with AVX2, pext and popcnt.
bool SelectIsFast();
/// For tests: forbids it.
void ForbidFastSelect(bool forbid);

}  // namespace qkme::post
