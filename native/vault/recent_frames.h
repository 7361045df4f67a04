// Frames of devices and of the relay that were sealed a moment ago: their plaintext stays in the arena until a block is made of them,
// so that it is agreed on without opening its records again. Bounded in number and time; what nobody takes is wiped.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "record.h"
#include "vault/arena.h"
#include "vault/block.h"

namespace qkme::vault {

class RecentFrames {
 public:
  /// And no more than a quarter of the arena's cells.
  static constexpr uint32_t kFramesMax = 256;
  static constexpr uint64_t kKeptNs = 1'000'000'000;
  /// A frame as it is asked for: link u32, offset u32, length of its payload u32, device block 16 bytes.
  static constexpr size_t kNameBytes = 28;

  explicit RecentFrames(Arena* arena);
  ~RecentFrames();
  RecentFrames(const RecentFrames&) = delete;
  RecentFrames& operator=(const RecentFrames&) = delete;

  /// Copies a payload whose record was sealed under `header`, or does nothing: every cell of the arena is pinned. A name comes once.
  void Keep(const RecordHeader& header, const uint8_t* payload, size_t length, uint64_t now_ns);
  /// The same of a loaded frame of a block, which is the block's no longer. Its pins are forgotten.
  void Adopt(const RecordHeader& header, Block* block, uint32_t index, uint64_t now_ns);
  /// Gives the frame of this name to the block, if it is here still and as long as the block says. It is gone from here then.
  void Take(const uint8_t* name, Block* block, uint32_t index);
  /// Wipes what was kept longer than kKeptNs.
  void Sweep(uint64_t now_ns);
  void Clear();

  /// The same for every vault of the process: a ring's beat must not depend on whether the sealer of its last frame lives. JavaScript thread only.
  static void SweepAll(uint64_t now_ns);
  static void ClearAll();

 private:
  struct Place {
    uint8_t name[kNameBytes];
    int32_t cell = Arena::kNone;
    uint64_t kept_ns = 0;
  };
  void Release(Place* place);
  /// The frame that came to the place where the next one goes has this name.
  void Note(const RecordHeader& header, size_t length, uint64_t now_ns);

  Arena* arena_;
  const uint32_t count_;
  std::array<Place, kFramesMax> places_;
  uint32_t next_ = 0;   ///< where the next frame goes: the oldest is there
  uint32_t found_ = 0;  ///< behind the one that was taken last: they are taken in their order
};

}  // namespace qkme::vault
