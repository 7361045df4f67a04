// Messages of LDPC reconciliation, little endian. The first byte says which.
//
//   syndromes  u8 1, u16 rows, u32 punctured, u32 frames, u32 length in bits, frames * rows * 512 bytes
//   ask        u8 2, u16 round, u32 entries, of each: u32 frame, u32 punctured bits, u32 places, the places u32
//   values     u8 3, u16 round, u32 bits, the bits packed, in the order in which they were asked for
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "post/error.h"
#include "post/ldpc_party.h"

namespace qkme::post::ldpc {

enum : uint8_t { kSyndromes = 1, kAsk = 2, kValues = 3 };

class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  uint8_t U8() { return Number<uint8_t>(); }
  uint16_t U16() { return Number<uint16_t>(); }
  uint32_t U32() { return Number<uint32_t>(); }
  /// Throws unless exactly so many bytes are left.
  void Expect(uint64_t bytes) const {
    if (bytes_.size() != bytes) throw PostError("PROTOCOL", "LDPC: a message of the wrong length");
  }
  void End() const { Expect(0); }
  std::span<const uint8_t> Rest(uint64_t bytes) const {
    Expect(bytes);
    return bytes_;
  }
  void Copy(void* to, size_t bytes) { std::memcpy(to, Next(bytes), bytes); }

 private:
  template <typename T>
  T Number() {
    const uint8_t* const at = Next(sizeof(T));
    T value = 0;
    for (size_t i = 0; i < sizeof(T); ++i) value = static_cast<T>(value | static_cast<T>(at[i]) << 8 * i);
    return value;
  }
  const uint8_t* Next(size_t bytes) {
    if (bytes_.size() < bytes) throw PostError("PROTOCOL", "LDPC: a message ends too early");
    const uint8_t* const at = bytes_.data();
    bytes_ = bytes_.subspan(bytes);
    return at;
  }

  std::span<const uint8_t> bytes_;
};

class Writer {
 public:
  void U8(uint8_t value) { bytes_.push_back(value); }
  void U16(uint16_t value) { Number(value); }
  void U32(uint32_t value) { Number(value); }
  void Bytes(const void* from, size_t bytes) {
    const auto* const at = static_cast<const uint8_t*>(from);
    bytes_.insert(bytes_.end(), at, at + bytes);
  }
  /// The number of `bits`, one per element, and then the bits.
  void Bits(const std::vector<uint8_t>& bits) {
    U32(static_cast<uint32_t>(bits.size()));
    const size_t from = bytes_.size();
    bytes_.resize(from + (bits.size() + 7) / 8, 0);
    for (size_t i = 0; i < bits.size(); ++i) bytes_[from + i / 8] = static_cast<uint8_t>(bytes_[from + i / 8] | bits[i] << i % 8);
  }
  std::vector<uint8_t> Take() { return std::move(bytes_); }

 private:
  template <typename T>
  void Number(T value) {
    for (size_t i = 0; i < sizeof(T); ++i) bytes_.push_back(static_cast<uint8_t>(value >> 8 * i));
  }

  std::vector<uint8_t> bytes_;
};

inline void WritePlan(Writer& writer, const LdpcPlan& plan) {
  writer.U16(static_cast<uint16_t>(plan.rows));
  writer.U32(plan.punctured);
  writer.U32(plan.frames);
  writer.U32(plan.length_bits);
}

inline LdpcPlan ReadPlan(Reader& reader) {
  LdpcPlan plan = {};
  plan.rows = reader.U16();
  plan.punctured = reader.U32();
  plan.frames = reader.U32();
  plan.length_bits = reader.U32();
  // Numbers that make sense of the arithmetic that follows; whether the code is known is seen elsewhere.
  if (plan.rows == 0 || plan.rows > kLdpcColumns || plan.frames == 0 || plan.punctured > plan.rows * kLdpcCirculant ||
      plan.length_bits > kLdpcBlockBitsMax || plan.frames > plan.length_bits) {
    throw PostError("PROTOCOL", "LDPC: a plan that makes no sense");
  }
  return plan;
}

}  // namespace qkme::post::ldpc
