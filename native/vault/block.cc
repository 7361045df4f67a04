#include "vault/block.h"

#include <algorithm>
#include <cstring>

#include "vault/error.h"

namespace qkme::vault {

Block::Block(Arena* arena, uint64_t number, uint32_t epoch, const uint32_t* frame_bytes, size_t frames)
    : arena_(arena), number_(number), epoch_(epoch), frames_(static_cast<uint32_t>(frames)) {
  Require(frames >= 1 && frames <= kFramesMax, "a block has 1 to 16 frames");
  cells_.fill(Arena::kNone);
  for (size_t i = 0; i < frames; ++i) {
    Require(frame_bytes[i] >= 1 && frame_bytes[i] <= kFrameBytesMax, "a frame has 1 to 3968 bytes");
    starts_[i + 1] = starts_[i] + frame_bytes[i];
  }
}

Block::~Block() {
  for (uint32_t i = 0; i < frames_; ++i) {
    if (loaded(i)) arena_->Release(cells_[i]);
  }
}

uint32_t Block::FrameAt(uint32_t offset) const {
  uint32_t index = 0;
  while (offset >= starts_[index + 1]) ++index;
  return index;
}

uint8_t* Block::TakeFrame(uint32_t index) {
  Require(!loaded(index), "a frame is loaded once");
  arena_->Take(&cells_[index]);
  return arena_->Data(cells_[index]);
}

void Block::AdoptFrame(uint32_t index, int32_t* holder) {
  Require(!loaded(index), "a frame is loaded once");
  arena_->Rehold(holder, &cells_[index]);
}

void Block::GiveFrame(uint32_t index, int32_t* holder) {
  Require(loaded(index) && leases == 0, "a frame that is handed on is loaded, and no lane has it");
  while (arena_->pins(cells_[index]) > 0) arena_->Unpin(cells_[index]);
  arena_->Rehold(&cells_[index], holder);
}

void Block::ReleaseFrame(uint32_t index) { arena_->Release(cells_[index]); }

bool Block::Loaded(uint32_t offset, uint32_t length) const {
  if (length == 0) return true;
  for (uint32_t index = FrameAt(offset); index < frames_ && starts_[index] < offset + length; ++index) {
    if (!loaded(index)) return false;
  }
  return true;
}

void Block::Pin(uint32_t index) {
  Require(loaded(index), "a pinned frame is loaded");
  arena_->Pin(cells_[index]);
}

void Block::Unpin(uint32_t index, bool wipe_if_free) {
  Require(loaded(index), "an unpinned frame is loaded");
  arena_->Unpin(cells_[index]);
  if (wipe_if_free && arena_->pins(cells_[index]) == 0) arena_->Release(cells_[index]);
}

bool Block::Claim(uint32_t offset, uint32_t length) {
  if (length == 0) return true;
  if (claimed_.empty()) claimed_.resize((total_bytes() + 63) / 64);
  const uint32_t first = offset / 64;
  const uint32_t last = (offset + length - 1) / 64;
  const uint64_t head = ~uint64_t{0} << offset % 64;
  const uint64_t tail = ~uint64_t{0} >> (63 - (offset + length - 1) % 64);
  if (first == last) {
    if ((claimed_[first] & head & tail) != 0) return false;
    claimed_[first] |= head & tail;
    return true;
  }
  uint64_t taken = (claimed_[first] & head) | (claimed_[last] & tail);
  for (uint32_t i = first + 1; i < last; ++i) taken |= claimed_[i];
  if (taken != 0) return false;
  claimed_[first] |= head;
  claimed_[last] |= tail;
  std::fill(claimed_.begin() + first + 1, claimed_.begin() + last, ~uint64_t{0});
  return true;
}

bool Block::ClaimRepeatable(uint32_t offset, uint32_t length) {
  for (const Range& range : repeatable_) {
    if (range.offset == offset && range.length == length) return true;
  }
  if (!Claim(offset, length)) return false;
  repeatable_.push_back({offset, length});
  return true;
}

const uint8_t* Block::Piece(uint32_t offset, uint32_t* length) {
  const uint32_t index = FrameAt(offset);
  *length = std::min(*length, starts_[index + 1] - offset);
  arena_->Touch(cells_[index]);
  return arena_->Data(cells_[index]) + (offset - starts_[index]);
}

void Block::Copy(uint32_t offset, uint32_t length, uint8_t* out) {
  ForEachPiece(offset, length, [&out](const uint8_t* bytes, uint32_t n) {
    std::memcpy(out, bytes, n);
    out += n;
  });
}

const uint8_t* Block::View(uint32_t offset, uint32_t length, uint8_t* scratch) {
  const uint32_t index = FrameAt(offset);
  if (offset + length <= starts_[index + 1]) {
    arena_->Touch(cells_[index]);
    return arena_->Data(cells_[index]) + (offset - starts_[index]);
  }
  Copy(offset, length, scratch);
  return scratch;
}

void Block::WipeBytes(uint32_t offset, uint32_t length) {
  ForEachPiece(offset, length, [](uint8_t* bytes, uint32_t n) { Wipe(bytes, n); });
}

}  // namespace qkme::vault
