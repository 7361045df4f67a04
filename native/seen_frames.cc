#include "seen_frames.h"

#include <bit>
#include <cstdlib>
#include <new>
#include <stdexcept>

namespace qkme {
namespace {

// calloc of this size comes from fresh pages of the system: memory is used as the table fills.
void* Zeroed(size_t count, size_t size) {
  void* p = std::calloc(count, size);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}

}  // namespace

void SeenFrames::Free::operator()(void* p) const { std::free(p); }

SeenFrames::SeenFrames(uint32_t capacity) : capacity_(capacity), mask_(2 * capacity - 1) {
  if (!std::has_single_bit(capacity) || capacity > 1u << 24) throw std::invalid_argument("number of remembered frames must be a power of two up to 2^24");
  entries_.reset(static_cast<Entry*>(Zeroed(capacity, sizeof(Entry))));
  by_name_.reset(static_cast<uint32_t*>(Zeroed(2 * size_t{capacity}, sizeof(uint32_t))));
  by_payload_.reset(static_cast<uint32_t*>(Zeroed(2 * size_t{capacity}, sizeof(uint32_t))));
}

void SeenFrames::Expect(uint64_t name) const {
  __builtin_prefetch(&by_name_[uint32_t(name) & mask_]);
  if (next_ < capacity_) return;
  const Entry& oldest = entries_[next_ & (capacity_ - 1)];
  __builtin_prefetch(&by_name_[uint32_t(oldest.name) & mask_]);
  __builtin_prefetch(&by_payload_[uint32_t(oldest.fingerprint) & mask_]);
}

SeenFrames::Verdict SeenFrames::Judge(uint64_t name, uint64_t fingerprint, bool by_payload) const {
  if (const Entry* known = Find(by_name_, &Entry::name, name)) {
    return known->fingerprint == fingerprint ? Verdict::kRepeat : Verdict::kOtherBytes;
  }
  return by_payload && Find(by_payload_, &Entry::fingerprint, fingerprint) ? Verdict::kReplay : Verdict::kNew;
}

void SeenFrames::Add(uint64_t name, uint64_t fingerprint, bool by_payload) {
  if (Find(by_name_, &Entry::name, name)) return;
  const uint32_t entry = uint32_t(next_ & (capacity_ - 1));
  if (next_ >= capacity_) {
    Erase(by_name_, &Entry::name, entry);
    Erase(by_payload_, &Entry::fingerprint, entry);
  }
  entries_[entry] = {name, fingerprint};
  Insert(by_name_, &Entry::name, entry);
  // Equal keys would make one long chain, and a device could send a million equal bytes: short payloads stay out.
  if (by_payload) Insert(by_payload_, &Entry::fingerprint, entry);
  next_ += 1;
}

// The hashes are keyed and uniform already, so their low bits are the place.
const SeenFrames::Entry* SeenFrames::Find(const Pages<uint32_t>& index, Key key, uint64_t value) const {
  const uint32_t tag = Tagged(0, value) >> kEntryBits;
  for (uint32_t at = uint32_t(value) & mask_; index[at] != 0; at = (at + 1) & mask_) {
    if (index[at] >> kEntryBits != tag) continue;
    const Entry& entry = entries_[EntryOf(index[at])];
    if (entry.*key == value) return &entry;
  }
  return nullptr;
}

void SeenFrames::Insert(Pages<uint32_t>& index, Key key, uint32_t entry) {
  const uint64_t value = entries_[entry].*key;
  uint32_t at = uint32_t(value) & mask_;
  while (index[at] != 0) at = (at + 1) & mask_;
  index[at] = Tagged(entry, value);
}

// Linear probing without tombstones: whatever follows the hole and may move into it does.
void SeenFrames::Erase(Pages<uint32_t>& index, Key key, uint32_t entry) {
  const uint64_t value = entries_[entry].*key;
  uint32_t hole = uint32_t(value) & mask_;
  for (; index[hole] != Tagged(entry, value); hole = (hole + 1) & mask_) {
    if (index[hole] == 0) return;  // a short payload was never in
  }
  index[hole] = 0;
  for (uint32_t at = (hole + 1) & mask_; index[at] != 0; at = (at + 1) & mask_) {
    const uint32_t home = uint32_t(entries_[EntryOf(index[at])].*key) & mask_;
    if (((at - home) & mask_) < ((at - hole) & mask_)) continue;
    index[hole] = index[at];
    index[at] = 0;
    hole = at;
  }
}

}  // namespace qkme
