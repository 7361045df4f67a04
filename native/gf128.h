// P: the polynomial hash over GF(2^128), reduction x^128 + x^7 + x^2 + x + 1.
//
//   P(k; M) = sum over i = 1..L of m_i k^(L-i+1)
//
// m_1 .. m_(L-1) are the 16-byte blocks of M, the last one padded with zeros; m_L is the length of M in
// bits, so that M and M || 00 differ. A block is a little-endian number; bit i is the coefficient of
// x^i (not the reflected order of GHASH). Two messages of at most L blocks collide with probability
// at most L / 2^128 over a uniform k (Wegman and Carter; Portmann for a reused k under a one-time pad).
#pragma once

#include <cstddef>
#include <cstdint>

namespace qkme {

/// Ways to multiply; all give the same bytes.
enum class GfImpl : int { kPortable = 0, kPclmul = 1, kVpclmul256 = 2, kVpclmul512 = 3 };
inline constexpr int kGfImpls = 4;

/// Whether this processor (and its operating system) can run `impl`.
bool GfSupported(GfImpl impl);
/// The fastest one that is supported; found once.
GfImpl GfBest();
const char* GfName(GfImpl impl);

inline constexpr size_t kGfBytes = 16;

/// A hash being computed. Its state is as secret as the key: put it where the key may be, and the
/// destructor wipes it. All code paths are independent of the values of key and data.
class PolyHash {
 public:
  /// `key`: kGfBytes. Copied.
  explicit PolyHash(const uint8_t* key, GfImpl impl = GfBest());
  ~PolyHash();
  PolyHash(const PolyHash&) = delete;
  PolyHash& operator=(const PolyHash&) = delete;

  void Update(const uint8_t* data, size_t length);
  /// Appends the length block and writes kGfBytes. Once.
  void Final(uint8_t* out);

  /// Powers of the key that are kept: the longest stretch reduced at once is this many blocks. One reduction waits about 40
  /// cycles for the one before; 64 blocks take the widest multiplier as long.
  static constexpr size_t kPowers = 64;

  /// Reached by the implementations in gf128_*.cc.
  struct State {
    alignas(64) uint64_t powers[kPowers][2];  ///< powers[i] = k^(kPowers - i), from kPowers - ready on
    uint64_t sum[2];
    size_t ready;  ///< powers that are made
  };

 private:
  void Absorb(const uint8_t* blocks, size_t count);
  void MakePowers(size_t count);

  State state_;
  uint8_t partial_[kGfBytes];
  size_t partial_bytes_ = 0;
  uint64_t total_bytes_ = 0;
  GfImpl impl_;
};

namespace gf {

/// sum = (sum ^ block) k, one block after the other.
using AbsorbSerial = void (*)(uint64_t* sum, const uint64_t* key, const uint8_t* blocks, size_t count);
/// The same for groups of `width` blocks, one reduction each. `width` powers are made; it is a multiple of 16.
using AbsorbGroups = void (*)(PolyHash::State* state, const uint8_t* blocks, size_t groups, size_t width);

/// A carry-less product of two words.
struct Wide {
  uint64_t low;
  uint64_t high;
};
/// With integer multiplications only; constant time where the processor multiplies in constant time.
Wide MultiplyPortable(uint64_t x, uint64_t y);
/// h x^64 modulo the field polynomial needs h times x^7 + x^2 + x + 1: shifts are enough.
inline Wide Times87(uint64_t h) { return {h ^ h << 1 ^ h << 2 ^ h << 7, h >> 63 ^ h >> 62 ^ h >> 57}; }

void SerialPortable(uint64_t* sum, const uint64_t* key, const uint8_t* blocks, size_t count);
#if defined(__x86_64__)
void SerialPclmul(uint64_t* sum, const uint64_t* key, const uint8_t* blocks, size_t count);
void GroupsPclmul(PolyHash::State* state, const uint8_t* blocks, size_t groups, size_t width);
void GroupsVpclmul256(PolyHash::State* state, const uint8_t* blocks, size_t groups, size_t width);
void GroupsVpclmul512(PolyHash::State* state, const uint8_t* blocks, size_t groups, size_t width);
#endif

}  // namespace gf
}  // namespace qkme
