#include "vault/vault.h"

#include "vault/error.h"
#include "vault/sealer.h"

namespace qkme::vault {

Vault::Vault(const VaultOptions& options)
    : arena_(options.arena_bytes, options.allow_unlocked),
      keys_(options.allow_unlocked),
      scratch_(sizeof(Scratch), options.allow_unlocked),
      random_(options.seed.empty() ? RandomSource() : RandomSource(options.seed.data(), options.seed.size())) {
  ForbidCoreDumps();
}

Vault::~Vault() { Zeroize(); }

VaultStats Vault::Stats() const {
  return {arena_.bytes(),  arena_.total(),  arena_.used(), arena_.pinned(), keys_.used(), blocks_.used(), lanes_.used(),
          arena_.locked() && keys_.locked() && scratch_.locked(), random_.deterministic()};
}

void Vault::Zeroize() {
  lanes_.Clear();  // Before the blocks that they lease from.
  blocks_.Clear();
  recent_.Clear();
  keys_.Clear();
  for (const uint32_t sealer : sealers_) vault::DropSealer(sealer);
  sealers_.clear();
  arena_.Clear();
  Wipe(scratch_.data(), scratch_.bytes());
}

Block& Vault::GetBlock(uint32_t handle) const {
  Block* const block = blocks_.Find(handle);
  Require(block != nullptr, "a block handle is live");
  return *block;
}

Block& Vault::GetBlock(uint32_t handle, uint32_t frame) const {
  Block& block = GetBlock(handle);
  Require(frame < block.frames(), "a frame index is inside its block");
  return block;
}

}  // namespace qkme::vault
