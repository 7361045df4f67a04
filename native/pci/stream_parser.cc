#include "pci/stream_parser.h"

#include "vault/locked_memory.h"

namespace qkme::pci {

// A header that has its form; its sum is looked at when all of it is there. Frames of another link have their form too: the ring
// refuses them by name.
StreamParser::Look StreamParser::LookAt(size_t at, StreamItem* item, size_t* length) const {
  const size_t left = filled_ - at;
  if (left < kRecordAlign) return Look::kShort;
  uint32_t magic;
  memcpy(&magic, buffer_ + at, sizeof magic);
  if (magic == kStateMagic) {
    memcpy(&item->state, buffer_ + at, sizeof item->state);
    const StateRecord& s = item->state;
    *length = sizeof s;
    return s.version == 1 && s.record_bytes == sizeof s && s.link == link_ && s.crc == RecordCrc(s) ? Look::kState : Look::kNone;
  }
  if (magic != kFrameMagic) return Look::kNone;
  memcpy(&item->header, buffer_ + at, sizeof item->header);
  if (CheckForm(item->header, kFramePayloadMax + kMacBytes) != FrameFault::kNone) return Look::kNone;
  *length = StreamedBytes(item->header);
  return left < *length ? Look::kShort : Look::kFrame;
}

bool StreamParser::Next(StreamItem* item) {
  *item = StreamItem{};
  size_t length = 0;
  for (;;) {
    const Look look = LookAt(at_, item, &length);
    if (look == Look::kShort) return false;
    if (look == Look::kNone) {
      damaged_ = true;
      at_ += kRecordAlign;
      lost_ += kRecordAlign;
      if (lost_ < kLostToldBytes) continue;
    }
    if (damaged_) {  // one item for the whole stretch, or for each kLostToldBytes; the record behind it comes next time
      item->kind = StreamItem::Kind::kDamage;
      item->lost_bytes = lost_;
      damaged_ = false;
      lost_ = 0;
      return true;
    }
    if (look == Look::kState) {
      item->kind = StreamItem::Kind::kState;
    } else {
      item->kind = StreamItem::Kind::kFrame;
      item->payload = buffer_ + at_ + sizeof(FrameHeader);
      item->payload_bytes = item->header.payload_bytes + (item->header.flags & kFrameMac ? kMacBytes : 0);
      item->sound = FrameCrc(item->header, item->payload) == item->header.crc;
    }
    at_ += length;
    return true;
  }
}

void StreamParser::Compact() {
  const size_t left = filled_ - at_;
  memmove(buffer_, buffer_ + at_, left);
  vault::Wipe(buffer_ + left, filled_ - left);
  filled_ = left;
  at_ = 0;
}

void StreamParser::Forget() {
  vault::Wipe(buffer_, filled_);
  filled_ = at_ = 0;
  damaged_ = false;
  lost_ = 0;
}

}  // namespace qkme::pci
