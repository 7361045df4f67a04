#include "vault/recent_frames.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace qkme::vault {
namespace {

void WriteName(const RecordHeader& header, size_t length, uint8_t* out) {
  const uint32_t bytes = static_cast<uint32_t>(length);
  std::memcpy(out, &header.link, 4);
  std::memcpy(out + 4, &header.offset, 4);
  std::memcpy(out + 8, &bytes, 4);
  std::memcpy(out + 12, header.device_block, 16);
}

// Never destroyed: vaults may live until the process ends.
std::vector<RecentFrames*>& Live() {
  static auto* const live = new std::vector<RecentFrames*>;
  return *live;
}

}  // namespace

RecentFrames::RecentFrames(Arena* arena) : arena_(arena), count_(std::min(kFramesMax, arena->total() / 4)) { Live().push_back(this); }

RecentFrames::~RecentFrames() {
  Clear();
  std::erase(Live(), this);
}

void RecentFrames::Release(Place* place) {
  if (place->cell != Arena::kNone) arena_->Release(place->cell);
}

void RecentFrames::Keep(const RecordHeader& header, const uint8_t* payload, size_t length, uint64_t now_ns) {
  if (count_ == 0) return;
  Place& place = places_[next_];
  Release(&place);
  if (!arena_->HasRoom()) return;
  arena_->Take(&place.cell);
  std::memcpy(arena_->Data(place.cell), payload, length);
  Note(header, length, now_ns);
}

void RecentFrames::Adopt(const RecordHeader& header, Block* block, uint32_t index, uint64_t now_ns) {
  if (count_ == 0) return;
  Release(&places_[next_]);
  block->GiveFrame(index, &places_[next_].cell);
  Note(header, block->frame_bytes(index), now_ns);
}

void RecentFrames::Note(const RecordHeader& header, size_t length, uint64_t now_ns) {
  Place& place = places_[next_];
  WriteName(header, length, place.name);
  place.kept_ns = now_ns;
  next_ = (next_ + 1) % count_;
}

void RecentFrames::Take(const uint8_t* name, Block* block, uint32_t index) {
  uint32_t length;
  std::memcpy(&length, name + 8, 4);
  if (length != block->frame_bytes(index)) return;
  for (uint32_t i = 0; i < count_; ++i) {
    Place& place = places_[(found_ + i) % count_];
    if (place.cell == Arena::kNone || std::memcmp(place.name, name, kNameBytes) != 0) continue;
    block->AdoptFrame(index, &place.cell);
    found_ = (found_ + i + 1) % count_;
    return;
  }
}

void RecentFrames::Sweep(uint64_t now_ns) {
  for (uint32_t i = 0; i < count_; ++i) {
    if (now_ns - places_[i].kept_ns > kKeptNs) Release(&places_[i]);
  }
}

void RecentFrames::Clear() {
  for (Place& place : places_) Release(&place);
}

void RecentFrames::SweepAll(uint64_t now_ns) {
  for (RecentFrames* const recent : Live()) recent->Sweep(now_ns);
}

void RecentFrames::ClearAll() {
  for (RecentFrames* const recent : Live()) recent->Clear();
}

}  // namespace qkme::vault
