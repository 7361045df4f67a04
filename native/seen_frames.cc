#include "seen_frames.h"

#include <bit>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <stdexcept>

namespace qkme {
namespace {

constexpr size_t kCacheLine = 64;

// Zeros of this size come from fresh pages of the system: memory is used as the table fills. Begins on a cache line; what calloc gave
// stands just before.
void* Zeroed(size_t bytes) {
  void* const given = std::calloc(1, bytes + 2 * kCacheLine);
  if (given == nullptr) throw std::bad_alloc();
  const uintptr_t at = (reinterpret_cast<uintptr_t>(given) / kCacheLine + 2) * kCacheLine;
  reinterpret_cast<void**>(at)[-1] = given;
  return reinterpret_cast<void*>(at);
}

// A bit for each word of a line that is `wanted` under `mask`. Without branches, so that the compiler makes vectors of it.
template <size_t kWords>
uint32_t Matches(const uint32_t (&words)[kWords], uint32_t mask, uint32_t wanted) {
  uint32_t found = 0;
  for (size_t i = 0; i < kWords; ++i) found |= (words[i] & mask) == wanted ? uint32_t{1} << i : 0;
  return found;
}

constexpr uint32_t kWholeWord = ~uint32_t{0};

}  // namespace

void SeenFrames::Free::operator()(void* p) const {
  if (p != nullptr) std::free(static_cast<void**>(p)[-1]);
}

SeenFrames::SeenFrames(uint32_t capacity)
    : capacity_(capacity), line_mask_(capacity <= kLineWords / 2 ? 0 : 2 * capacity / kLineWords - 1) {
  if (!std::has_single_bit(capacity) || capacity > 1u << 24) throw std::invalid_argument("number of remembered frames must be a power of two up to 2^24");
  entries_.reset(static_cast<Entry*>(Zeroed(capacity * sizeof(Entry))));
  by_name_.reset(static_cast<Line*>(Zeroed((size_t{line_mask_} + 1) * sizeof(Line))));
  by_payload_.reset(static_cast<Line*>(Zeroed((size_t{line_mask_} + 1) * sizeof(Line))));
}

void SeenFrames::Expect(uint64_t name) const {
  __builtin_prefetch(&by_name_[HomeOf(name)]);
  if (next_ < capacity_) return;
  const Entry& oldest = entries_[next_ & (capacity_ - 1)];
  __builtin_prefetch(&by_name_[HomeOf(oldest.name)]);
  __builtin_prefetch(&by_payload_[HomeOf(oldest.fingerprint)]);
}

void SeenFrames::ExpectPayload(uint64_t fingerprint) const { __builtin_prefetch(&by_payload_[HomeOf(fingerprint)]); }

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

// The hashes are keyed and uniform already, so their low bits are the place. Half of all words are empty: some line is not full.
const SeenFrames::Entry* SeenFrames::Find(const Pages<Line>& index, Key key, uint64_t value) const {
  for (uint32_t line = HomeOf(value);; line = (line + 1) & line_mask_) {
    const auto& words = index[line].words;
    for (uint32_t found = Matches(words, kTagMask, TagOf(value)); found != 0; found &= found - 1) {
      const uint32_t word = words[std::countr_zero(found)];
      if (word == 0) continue;
      const Entry& entry = entries_[EntryOf(word)];
      if (entry.*key == value) return &entry;
    }
    if (Matches(words, kWholeWord, 0) != 0) return nullptr;
  }
}

void SeenFrames::Insert(Pages<Line>& index, Key key, uint32_t entry) {
  const uint64_t value = entries_[entry].*key;
  uint32_t line = HomeOf(value), empty;
  while ((empty = Matches(index[line].words, kWholeWord, 0)) == 0) line = (line + 1) & line_mask_;
  index[line].words[std::countr_zero(empty)] = Tagged(entry, value);
}

void SeenFrames::Erase(Pages<Line>& index, Key key, uint32_t entry) {
  const uint64_t value = entries_[entry].*key;
  for (uint32_t line = HomeOf(value);; line = (line + 1) & line_mask_) {
    const uint32_t found = Matches(index[line].words, kWholeWord, Tagged(entry, value));
    const bool full = Matches(index[line].words, kWholeWord, 0) == 0;
    if (found != 0) {
      uint32_t* const hole = &index[line].words[std::countr_zero(found)];
      *hole = 0;
      if (full) Refill(index, key, line, hole);
      return;
    }
    if (!full) return;  // a short payload was never in
  }
}

// A full line has lost a word. One that stands behind it for want of room, in a line that is reached over full ones, comes back, and leaves a
// hole in its turn; without that it would not be found any more.
void SeenFrames::Refill(Pages<Line>& index, Key key, uint32_t line, uint32_t* hole) {
  for (uint32_t at = (line + 1) & line_mask_; at != line; at = (at + 1) & line_mask_) {
    auto& words = index[at].words;
    const bool full = Matches(words, kWholeWord, 0) == 0;
    for (uint32_t& word : words) {
      if (word == 0) continue;
      const uint32_t home = HomeOf(entries_[EntryOf(word)].*key);
      // Not one that is at home between the hole's line and its own.
      if (((at - home) & line_mask_) < ((at - line) & line_mask_)) continue;
      *hole = word;
      word = 0;
      hole = &word;
      line = at;
      break;
    }
    if (!full) return;
  }
}

}  // namespace qkme
