#include "vault/block.h"

#include <algorithm>
#include <cstring>

#include "vault/error.h"

namespace qkme::vault {

Block::Block(Arena* arena, uint32_t number, uint32_t epoch, const uint32_t* frame_bytes, size_t frames)
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
  if (claimed_.empty()) claimed_.resize((total_bytes() + 63) / 64);
  // Calls visit(word, mask of the range's bits in it).
  const auto for_each_word = [this, offset, length](auto visit) {
    for (uint32_t at = offset, left = length; left > 0;) {
      const uint32_t bit = at % 64;
      const uint32_t take = std::min(64 - bit, left);
      visit(claimed_[at / 64], (~uint64_t{0} >> (64 - take)) << bit);
      at += take;
      left -= take;
    }
  };
  uint64_t taken = 0;
  for_each_word([&taken](uint64_t word, uint64_t mask) { taken |= word & mask; });
  if (taken != 0) return false;
  for_each_word([](uint64_t& word, uint64_t mask) { word |= mask; });
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
