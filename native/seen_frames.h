// What was seen of a link: names and fingerprints of its last frames, so that a bit string is taken once.
#pragma once

#include <cstdint>
#include <memory>

namespace qkme {

/// The last `capacity` frames, oldest forgotten first. Keyed 64-bit hashes stand for names and payloads:
/// a false match has a chance of capacity / 2^64 per frame. 32 bytes per frame, touched only as it fills.
class SeenFrames {
 public:
  enum class Verdict {
    kNew,
    kRepeat,      ///< known name, same bytes
    kOtherBytes,  ///< known name, other bytes
    kReplay,      ///< unknown name, known bytes
  };

  /// `capacity` is a power of two up to 2^24. @throws std::bad_alloc.
  explicit SeenFrames(uint32_t capacity);

  /// What Judge and Add of this name will read, and what makes room for it, is fetched into the caches meanwhile.
  void Expect(uint64_t name) const;
  /// `by_payload` false: too short a payload for its bytes to be told from chance.
  Verdict Judge(uint64_t name, uint64_t fingerprint, bool by_payload) const;
  /// Adds a frame that Judge called new, with the same `by_payload`. Another one under the same name is ignored.
  void Add(uint64_t name, uint64_t fingerprint, bool by_payload);
  uint64_t size() const { return next_ < capacity_ ? next_ : capacity_; }

 private:
  struct Entry { uint64_t name, fingerprint; };
  using Key = uint64_t Entry::*;
  struct Free { void operator()(void* p) const; };
  template <class T> using Pages = std::unique_ptr<T[], Free>;

  // A word of an index is entry + 1 with seven bits of its hash on top, so that nearly no look at another's entry is needed; 0 is empty.
  static constexpr uint32_t kEntryBits = 25;
  static uint32_t Tagged(uint32_t entry, uint64_t value) { return (entry + 1) | uint32_t(value >> 57) << kEntryBits; }
  static uint32_t EntryOf(uint32_t word) { return (word & ((1u << kEntryBits) - 1)) - 1; }

  /// The entry, or null.
  const Entry* Find(const Pages<uint32_t>& index, Key key, uint64_t value) const;
  void Insert(Pages<uint32_t>& index, Key key, uint32_t entry);
  void Erase(Pages<uint32_t>& index, Key key, uint32_t entry);

  const uint32_t capacity_, mask_;
  Pages<Entry> entries_;                  // a ring: entry i of frame number i mod capacity
  Pages<uint32_t> by_name_, by_payload_;  // open addressing, of Tagged words
  uint64_t next_ = 0;
};

}  // namespace qkme
