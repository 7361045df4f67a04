#include "vault/lane.h"

#include <algorithm>

#include "vault/error.h"

namespace qkme::vault {

Lane::~Lane() {
  for (Stretch& stretch : stretches_) {
    for (; stretch.pinned_from < stretch.pinned_to; ++stretch.pinned_from) stretch.block->Unpin(stretch.pinned_from, true);
    --stretch.block->leases;
  }
}

void Lane::Push(Block* block, uint32_t from, uint32_t to, bool last) {
  Require(from <= to && block->Spendable(from, to - from), "a lease lies inside the block, before the confirmation's bytes");
  Require(from % kPlaceBytes == 0 && (last || to % kPlaceBytes == 0), "a lease begins and ends at multiples of 8 bytes");
  Require(block->Loaded(from, to - from), "leased frames are loaded");
  const bool continues = !stretches_.empty() && stretches_.back().block == block && stretches_.back().to == from &&
                         !stretches_.back().last;
  Require(continues || from < to, "an empty lease only ends a stretch");
  Require(block->Claim(from, to - from), "leased bytes were not used before");
  if (!continues) {
    if (!stretches_.empty()) {
      stretches_.back().last = true;
      ReleasePassed(&stretches_.back());
    }
    const uint32_t frame = block->FrameAt(from);
    stretches_.push_back({block, from, from, false, frame, frame});
    ++block->leases;
  }
  Stretch& stretch = stretches_.back();
  for (; stretch.pinned_to < block->frames() && block->frame_start(stretch.pinned_to) < to; ++stretch.pinned_to) {
    block->Pin(stretch.pinned_to);
  }
  stretch.to = to;
  stretch.last = last;
  ReleasePassed(&stretch);
}

uint64_t Lane::Left() const {
  uint64_t left = 0;
  for (const Stretch& stretch : stretches_) left += stretch.to - stretch.cursor;
  return left;
}

bool Lane::Cursor(uint64_t* block_number, uint32_t* offset) const {
  for (const Stretch& stretch : stretches_) {
    if (stretch.cursor == stretch.to && &stretch != &stretches_.back()) continue;
    *block_number = stretch.block->number();
    *offset = stretch.cursor;
    return true;
  }
  return false;
}

uint32_t Lane::Done() const {
  uint32_t done = 0;
  while (done < stretches_.size() && stretches_[done].cursor == stretches_[done].to) ++done;
  return done;
}

uint32_t Lane::Trim() {
  uint32_t removed = 0;
  while (!stretches_.empty() && stretches_.front().cursor == stretches_.front().to) {
    Stretch& stretch = stretches_.front();
    ReleasePassed(&stretch);
    // What is left is the frame of a lease that will be extended: it stays in the cache.
    for (; stretch.pinned_from < stretch.pinned_to; ++stretch.pinned_from) stretch.block->Unpin(stretch.pinned_from);
    --stretch.block->leases;
    stretches_.pop_front();
    ++removed;
  }
  return removed;
}

uint32_t Lane::KeysIn(const Stretch& stretch, uint32_t size) {
  const uint32_t left = stretch.to - stretch.cursor;
  return left < size ? 0 : (left - size) / RoundUpToPlace(size) + 1;
}

bool Lane::Fits(uint32_t count, uint32_t size) const {
  for (const Stretch& stretch : stretches_) {
    const uint32_t here = KeysIn(stretch, size);
    if (here >= count) return true;
    count -= here;  // The rest of it is passed over: only the back one may still be extended, and nothing follows that.
  }
  return false;
}

uint32_t Lane::Plan(uint32_t count, uint32_t size, Run* runs, uint32_t runs_max, uint32_t* skipped) const {
  *skipped = 0;
  if (count == 0 || !Fits(count, size)) return 0;
  uint32_t found = 0;
  for (const Stretch& stretch : stretches_) {
    const uint32_t here = std::min(KeysIn(stretch, size), count);
    if (here > 0) {
      Require(found < runs_max, "a request has fewer runs than keys");
      runs[found++] = {stretch.block, stretch.cursor, here};
    }
    count -= here;
    if (count == 0) break;
    *skipped += stretch.to - std::min(stretch.to, stretch.cursor + here * RoundUpToPlace(size));
  }
  return found;
}

void Lane::Advance(uint32_t count, uint32_t size) {
  for (Stretch& stretch : stretches_) {
    const uint32_t here = std::min(KeysIn(stretch, size), count);
    // The last key of a block may end less than a place before the end.
    stretch.cursor = std::min(stretch.to, stretch.cursor + here * RoundUpToPlace(size));
    count -= here;
    if (count > 0) stretch.cursor = stretch.to;
    ReleasePassed(&stretch);
    if (count == 0) return;
  }
}

Lane::Stretch* Lane::Current() {
  for (Stretch& stretch : stretches_) {
    if (stretch.cursor < stretch.to) return &stretch;
  }
  return nullptr;
}

uint32_t Lane::RunBytes() const {
  Stretch* const current = const_cast<Lane*>(this)->Current();
  return current == nullptr ? 0 : current->to - current->cursor;
}

Block* Lane::Front(uint32_t* offset) {
  Stretch* const current = Current();
  Require(current != nullptr, "a run is not empty");
  *offset = current->cursor;
  return current->block;
}

void Lane::Pass(uint32_t length) {
  Stretch* const current = Current();
  Require(current != nullptr && length <= current->to - current->cursor, "what is passed lies in the run");
  current->cursor = std::min(current->to, current->cursor + RoundUpToPlace(length));
  ReleasePassed(current);
}

void Lane::ReleasePassed(Stretch* stretch) {
  Block* const block = stretch->block;
  const bool finished = stretch->last && stretch->cursor == stretch->to;
  while (stretch->pinned_from < stretch->pinned_to &&
         (finished || block->frame_start(stretch->pinned_from + 1) <= stretch->cursor)) {
    block->Unpin(stretch->pinned_from++, true);
  }
}

}  // namespace qkme::vault
