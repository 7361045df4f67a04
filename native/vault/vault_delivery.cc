// Cutting keys for masters, serving them to slaves, naming them.
#include <algorithm>
#include <cstring>

#include "vault/error.h"
#include "vault/vault.h"

namespace qkme::vault {
namespace {

// Wipes the answer unless it was finished: half an answer may hold keys whose cursor did not move.
class AnswerGuard {
 public:
  explicit AnswerGuard(OutSpan out) : out_(out) {}
  ~AnswerGuard() {
    if (!finished_) Wipe(out_.data(), out_.size());
  }
  AnswerGuard(const AnswerGuard&) = delete;
  AnswerGuard& operator=(const AnswerGuard&) = delete;
  void Finish() { finished_ = true; }

 private:
  OutSpan out_;
  bool finished_ = false;
};

}  // namespace

uint32_t Vault::CreateLane() { return lanes_.Add(std::make_unique<Lane>()); }

void Vault::DropLane(uint32_t lane) { Require(lanes_.Remove(lane) != nullptr, "a lane is dropped once"); }

Lane& Vault::GetLane(uint32_t lane) {
  Lane* const found = lanes_.Find(lane);
  Require(found != nullptr, "a lane handle is live");
  return *found;
}

void Vault::LanePush(uint32_t lane, uint32_t block, uint32_t from, uint32_t to, bool last) {
  Block& leased = GetBlock(block);
  Require(leased.epoch() != 0, "a block in a lane has an ID epoch");
  GetLane(lane).Push(&leased, from, to, last);
}

int32_t Vault::Cut(uint32_t lane, uint32_t count, uint32_t key_bytes, uint32_t association, const Members& members,
                   OutSpan out, uint32_t* taken) {
  Require(count >= 1 && count <= kKeysPerCallMax, "a call cuts 1 to 1024 keys");
  Require(key_bytes >= 1 && key_bytes <= kKeyBytesMax, "a key has 1 to 1024 bytes");
  Require(association < kAssociationsMax, "an association number has 16 bits");
  Lane& from = GetLane(lane);
  uint32_t skipped = 0;
  const uint32_t runs = from.Plan(count, key_bytes, runs_.data(), kKeysPerCallMax, &skipped);
  if (runs == 0) return kCutInsufficient;
  if (ContainerWriter::Bytes(count, count * Base64Bytes(key_bytes), members) > out.size()) return kCutNoRoom;
  AnswerGuard guard(out);
  const ScratchGuard gathered(scratch().frame, key_bytes);
  ContainerWriter writer(reinterpret_cast<char*>(out.data()), members);
  for (uint32_t r = 0; r < runs; ++r) {
    const Run& run = runs_[r];
    KeyIdCipher& names = keys_.Get(run.block->epoch()).names();
    for (uint32_t done = 0; done < run.count;) {
      KeyIdFields fields[KeyIdCipher::kBatch];
      uint8_t uuids[KeyIdCipher::kBatch * kUuidBytes];
      const uint32_t n = std::min<uint32_t>(run.count - done, KeyIdCipher::kBatch);
      const uint32_t first = run.offset + done * RoundUpToPlace(key_bytes);
      for (uint32_t i = 0; i < n; ++i) {
        fields[i] = {run.block->number_in_id(), (first + i * RoundUpToPlace(key_bytes)) / kPlaceBytes, key_bytes, association};
      }
      names.Make(fields, n, uuids);
      for (uint32_t i = 0; i < n; ++i) {
        char text[kUuidChars];
        FormatUuid(uuids + i * kUuidBytes, text);
        writer.Add(text, run.block->View(fields[i].place * kPlaceBytes, key_bytes, gathered.data()), key_bytes);
      }
      done += n;
    }
  }
  AdvanceTelling(&from, count, key_bytes, skipped, taken);
  guard.Finish();
  return static_cast<int32_t>(writer.Finish());
}

void Vault::AdvanceTelling(Lane* lane, uint32_t count, uint32_t key_bytes, uint32_t skipped, uint32_t* taken) {
  runs_[0].block->TellPlace(runs_[0].offset / kPlaceBytes, taken);
  taken[3] = skipped;
  lane->Advance(count, key_bytes);
  taken[4] = static_cast<uint32_t>(lane->Left());
  taken[5] = lane->Done();
}

uint32_t Vault::OpenKeyIds(std::span<const uint32_t> epochs, std::string_view ids, uint32_t count,
                           std::span<uint32_t> out) {
  Require(count <= kKeysPerCallMax && ids.size() == count * kUuidChars, "key IDs have 36 characters each, at most 1024 a call");
  Require(epochs.size() <= kEpochsMax, "key IDs are opened against at most 4 epochs");
  Require(out.size() >= count * kKeyIdFields, "there is room for the fields of the key IDs");
  uint32_t verified = 0;
  for (uint32_t base = 0; base < count; base += KeyIdCipher::kBatch) {
    constexpr size_t kBatch = KeyIdCipher::kBatch;
    const uint32_t n = std::min<uint32_t>(count - base, kBatch);
    uint64_t tags[kBatch];
    Bits128 masked[kBatch];
    uint32_t open[kBatch];  // all ones while the ID is well formed and no epoch has verified it
    for (uint32_t i = 0; i < n; ++i) {
      uint8_t uuid[kUuidBytes];
      bool good = ParseUuid(ids.data() + (base + i) * kUuidChars, uuid);
      good &= DecomposeUuid(uuid, &tags[i], &masked[i]);
      open[i] = -static_cast<uint32_t>(good);
    }
    uint32_t* const results = out.data() + base * kKeyIdFields;
    std::memset(results, 0, n * kKeyIdFields * sizeof *results);
    // Every epoch is tried with every ID, whatever was found before: the time tells nothing.
    for (uint32_t e = 0; e < epochs.size(); ++e) {
      KeyIdFields fields[kBatch];
      uint32_t good[kBatch];
      keys_.Get(epochs[e]).names().Open(tags, masked, n, fields, good);
      for (uint32_t i = 0; i < n; ++i) {
        const uint32_t here = good[i] & open[i];
        uint32_t* const result = results + i * kKeyIdFields;
        result[0] |= here & (e + 1);
        result[1] |= here & fields[i].block;
        result[2] |= here & fields[i].place;
        result[3] |= here & fields[i].length;
        result[4] |= here & fields[i].association;
        open[i] &= ~here;
        verified += here & 1;
      }
    }
  }
  return verified;
}

void Vault::MakeKeyId(uint32_t epoch, const KeyIdFields& fields, char* text) {
  Require(fields.place < kPlacesMax && fields.length >= 1 && fields.length <= kKeyBytesMax &&
              fields.association < kAssociationsMax, "the fields of a key ID are in range");
  uint8_t uuid[kUuidBytes];
  keys_.Get(epoch).names().Make(&fields, 1, uuid);
  FormatUuid(uuid, text);
}

int32_t Vault::Serve(uint32_t count, std::string_view ids, std::span<const uint32_t> blocks,
                     std::span<const uint32_t> offsets, std::span<const uint32_t> lengths, const Members& members,
                     OutSpan out) {
  Require(count >= 1 && count <= kKeysPerCallMax && ids.size() == count * kUuidChars, "a call serves 1 to 1024 keys, with IDs of 36 characters");
  Require(blocks.size() >= count && offsets.size() >= count && lengths.size() >= count, "each key has block, offset and length");
  size_t base64_bytes = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const Block& block = GetBlock(blocks[i]);
    Require(lengths[i] >= 1 && lengths[i] <= kKeyBytesMax && block.Spendable(offsets[i], lengths[i]), "a served key lies in its block");
    Require(block.Loaded(offsets[i], lengths[i]), "frames to serve from are loaded");
    base64_bytes += Base64Bytes(lengths[i]);
  }
  if (ContainerWriter::Bytes(count, base64_bytes, members) > out.size()) return kCutNoRoom;
  AnswerGuard guard(out);
  const ScratchGuard gathered(scratch().frame, kKeyBytesMax);
  ContainerWriter writer(reinterpret_cast<char*>(out.data()), members);
  for (uint32_t i = 0; i < count; ++i) {
    uint8_t uuid[kUuidBytes];
    char text[kUuidChars];
    Require(ParseUuid(ids.data() + i * kUuidChars, uuid), "a served key ID is well formed");
    FormatUuid(uuid, text);
    writer.Add(text, GetBlock(blocks[i]).View(offsets[i], lengths[i], gathered.data()), lengths[i]);
  }
  guard.Finish();
  return static_cast<int32_t>(writer.Finish());
}

}  // namespace qkme::vault
