// Cuts a stream of bytes into records, and finds the next one again after bytes that are none.
#pragma once

#include <cstring>

#include "pci/stream_format.h"

namespace qkme::pci {

/// One thing found in the stream. Pointers hold until the next call of the parser.
struct StreamItem {
  enum class Kind { kFrame, kState, kDamage };
  Kind kind = Kind::kDamage;
  bool sound = false;             ///< frame: the sum is right
  FrameHeader header{};           ///< frame
  const uint8_t* payload = nullptr;
  size_t payload_bytes = 0;       ///< with MAC
  StateRecord state{};
  size_t lost_bytes = 0;          ///< damage: so many bytes were passed over
};

class StreamParser {
 public:
  /// Damage that goes on is told each time that so many bytes were passed over.
  static constexpr size_t kLostToldBytes = 4096;

  /// `buffer` holds at least two of the longest frames; it belongs to the caller and is wiped as it is read.
  StreamParser(uint32_t link, uint8_t* buffer, size_t bytes) : link_(link), buffer_(buffer), bytes_(bytes) {}

  /// Where the next bytes of the stream go. There is always room after Compact.
  uint8_t* room() { return buffer_ + filled_; }
  size_t room_bytes() const { return bytes_ - filled_; }
  void Filled(size_t length) { filled_ += length; }

  /// The next complete record. False: more bytes are needed.
  bool Next(StreamItem* item);
  /// Moves what is left to the front and wipes the rest.
  void Compact();
  /// The stream ended in the middle: what is left means nothing.
  void Forget();

 private:
  enum class Look { kFrame, kState, kShort, kNone };
  Look LookAt(size_t at, StreamItem* item, size_t* length) const;

  uint32_t link_;
  uint8_t* buffer_;
  size_t bytes_, filled_ = 0, at_ = 0;
  bool damaged_ = false;  // bytes were passed over since the last record
  size_t lost_ = 0;
};

}  // namespace qkme::pci
